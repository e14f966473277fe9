"""Every link leads somewhere, and every page can be found from the map."""

import pytest
from pages import ROOT, all_pages, anchors_of, links_of, name_of, target_of

INDEX = ROOT / "docs" / "index.md"


@pytest.mark.parametrize("page", all_pages(), ids=name_of)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page):
    for link in links_of(page):
        path, anchor = target_of(page, link)
        assert path.exists(), link
        assert path.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors_of(path), link


def reachable(start):
    found, waiting = set(), [start]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md":
            continue
        found.add(page)
        waiting += [target_of(page, link)[0] for link in links_of(page)]
    return found


def test_the_map_names_every_page_itself():
    named = {target_of(INDEX, link)[0] for link in links_of(INDEX)}
    pages = {page for page in all_pages() if page.is_relative_to(ROOT / "docs")} - {INDEX}
    assert sorted(name_of(page) for page in pages - named) == []


def test_the_readme_leads_to_every_page():
    assert set(all_pages()) <= reachable(ROOT / "README.md")


def test_every_picture_is_shown():
    shown = {target_of(page, link)[0] for page in all_pages() for link in links_of(page)}
    assert set((ROOT / "docs" / "images").iterdir()) <= shown
