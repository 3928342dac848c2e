"""What `mkdocs.yml` can't say: pages lie in several folders of the repository, and each module has one of reference."""

import pathlib
import posixpath
import re

from mkdocs import exceptions, plugins
from mkdocs.structure import files

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = ("docs", "notebooks", "serving", "benchmarks", "mtcnn_tf/weights")
PAGES = ("*.md", "notebooks/*.ipynb", *(f"{folder}/*.md" for folder in FOLDERS))
LINKED = ("docs/images/*", "serving/*.py", "reproduce.mk", "LICENSE", "CITATION.cff")
PACKAGES = ("mtcnn_tf", "data_prep")


def on_config(config):
    """The navigation ends with the modules."""
    reference = [{package: _tree(ROOT / package)} for package in PACKAGES]
    config.nav.append({"Reference": reference})
    return config


@plugins.event_priority(100)  # before the plugin that makes pages of notebooks
def on_files(given, config):
    """The theme's own files, all pages, under their paths in the repository, and what they link to."""
    listed = [file for file in given if file.src_dir != config.docs_dir]
    found = [path for pattern in (*PAGES, *LINKED) for path in sorted(ROOT.glob(pattern))]
    listed += [_file(path.relative_to(ROOT).as_posix(), config) for path in found]
    for path in _modules():
        text = f"---\ntitle: {path.stem if path.stem != '__init__' else path.parent.name}\n---\n\n::: {_name(path)}\n"
        listed.append(files.File.generated(config, _uri(path), content=text))
    return files.Files(listed)


def on_page_content(html, page, files, **_):
    """Links of notebooks lead to pages and are checked, which MkDocs does for Markdown alone."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html

    def lead(match):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), match[1]))
        target = files.get_file_from_path(path)
        if target is None:
            raise exceptions.PluginError(f"{page.file.src_uri} links to {match[1]}, which is no page")
        return f'href="{target.url_relative_to(page.file)}"'

    return re.sub(r'href="(?!\w+:|#)([^"#]+)"', lead, html)


def _file(path, config):
    return files.File(path, str(ROOT), config.site_dir, config.use_directory_urls)


def _modules():
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in found if path.stem != "__main__"]


def _tree(folder):
    """The navigation of a package: its own page, its modules, its packages."""
    entries = [_uri(folder / "__init__.py")]
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and not path.name.startswith("__"):
            entries.append({path.stem: _uri(path)})
        elif (path / "__init__.py").is_file():
            entries.append({path.name: _tree(path)})
    return entries


def _name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _uri(path):
    """Where the module's page is: a package's is the first page of its folder."""
    relative = path.relative_to(ROOT).with_suffix(".md")
    return f"reference/{relative.as_posix().replace('__init__.md', 'index.md')}"
