"""The page that shows the document: Swagger UI out of the flask-swagger-ui package, whose Python is not used.

Nothing on it comes from anywhere else, so that the edge can forbid everything else.
"""

import importlib.util
import shutil
from pathlib import Path

FROM_PACKAGE = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
OURS = ("index.html", "viewer.css", "viewer.js")


def write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    package = importlib.util.find_spec("flask_swagger_ui")
    if package is None or package.origin is None:
        raise RuntimeError("the package flask-swagger-ui is not installed: run `make setup`")
    for name in FROM_PACKAGE:
        shutil.copyfile(Path(package.origin).parent / "dist" / name, folder / name)
    for name in OURS:
        shutil.copyfile(Path(__file__).parent / name, folder / name)
