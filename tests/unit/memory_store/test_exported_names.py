import personavlm.memory_store as package


def test_the_package_exports_its_public_names() -> None:
    names = [name for name in vars(package) if not name.startswith("_")]
    modules = {name for name in names if type(vars(package)[name]).__name__ == "module"}
    assert set(package.__all__) == set(names) - modules
    assert len(package.__all__) == len(set(package.__all__))
