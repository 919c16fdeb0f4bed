"""Make torchvision's published build, which is for GPUs, importable beside the CPU build of PyTorch.

Its compiled operators cannot be loaded there, and then two of them lack the schema that a module of
torchvision asks for at import. Declaring the two is enough for image transforms, which are plain Python.
Run after installing; running it again changes nothing.
"""

import importlib.util
from pathlib import Path

MARK = "# schemas for the CPU build of PyTorch"
BEFORE = '@torch.library.register_fake("torchvision::nms")'
SCHEMAS = f"""{MARK}
if not torchvision.extension._has_ops():
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _library.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


"""


def main() -> None:
    """Change the module in place, and import it to see that it works."""
    found = importlib.util.find_spec("torchvision")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("torchvision is not installed")
    module = Path(found.submodule_search_locations[0]) / "_meta_registrations.py"
    text = module.read_text(encoding="utf-8")
    if MARK not in text:
        if text.count(BEFORE) != 1:
            raise SystemExit(f"{module} is not the version that this script knows")
        module.write_text(text.replace(BEFORE, SCHEMAS + BEFORE), encoding="utf-8")
    importlib.import_module("torchvision")


if __name__ == "__main__":
    main()
