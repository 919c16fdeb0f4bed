from types import ModuleType

import personavlm.memory_store as package


def test_the_package_exports_its_public_names() -> None:
    assert len(package.__all__) == len(set(package.__all__))
    for name in package.__all__:
        assert not isinstance(getattr(package, name), ModuleType)
    public = {name for name, value in vars(package).items() if not isinstance(value, ModuleType)}
    hidden = {name for name in public if name.startswith("_")} | {"TYPE_CHECKING"}
    assert public - hidden <= set(package.__all__)
