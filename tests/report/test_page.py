"""The page as a reader and as an attacker meet it: opened in a real browser."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline import storage, tables
from tests.report.conftest import HOSTILE_LABEL, HOSTILE_MESSAGE, HOSTILE_NAME, TWINS
from tests.support.chromium import Tab
from tests.support.planted import DS
from tests.support.sora import Sora

SIGHTS = [(1440, False), (1440, True), (390, False), (390, True)]
NEIGHBOURS = """
    [...document.querySelectorAll(".neighbours > li")].map(row => [...row.querySelectorAll("figure")].map(one => ({
        name: one.querySelector(".name").textContent, hasPicture: !!one.querySelector("img")?.naturalWidth})))
"""


def clean(page: Tab, path: Path) -> None:
    """Nothing was logged, nothing but the file asked for, no code from outside was run."""
    assert page.messages == []
    assert page.requests() == [path.as_uri()]
    assert page.value("window.stolen === undefined")


def copied(root: str, place: Path) -> str:
    """A root of one's own, with the same tables."""
    shutil.copytree(storage.local_path(root), place / "root")
    return storage.normalize(str(place / "root"))


def test_the_page_opens_without_a_complaint_and_shows_the_planted_neighbour(page: Path, browser: Tab) -> None:
    browser.look(width=1440, dark=False)
    browser.open(page.as_uri())
    rows: list[list[dict[str, Any]]] = browser.value(NEIGHBOURS)
    clean(browser, page)
    shown = [[one["name"] for one in row[:2]] for row in rows]
    assert list(TWINS) in shown or list(reversed(TWINS)) in shown
    pictured = {one["name"]: one["hasPicture"] for row in rows for one in row}
    assert {name for name, is_there in pictured.items() if not is_there} == {n for n in pictured if "gone" in n}


def test_hostile_names_labels_and_messages_are_text(page: Path, browser: Tab) -> None:
    browser.look(width=1440, dark=False)
    browser.open(page.as_uri())
    names = browser.value('[...document.querySelectorAll(".name")].map(one => one.textContent)')
    assert HOSTILE_NAME in names
    assert HOSTILE_LABEL in browser.value('[...document.querySelectorAll("bdi")].map(one => one.textContent)')
    assert browser.value('document.querySelector("pre").textContent') == HOSTILE_MESSAGE
    assert browser.value("document.scripts.length") == 2  # the points and the script of the map
    clean(browser, page)


@pytest.mark.parametrize(("width", "dark"), SIGHTS, ids=lambda value: str(value))
def test_nothing_overflows(page: Path, browser: Tab, width: int, dark: bool) -> None:
    browser.look(width=width, dark=dark)
    browser.open(page.as_uri())
    assert browser.value("document.documentElement.scrollWidth") == width
    brightness = browser.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(brightness) < 3 * 60) == dark
    clean(browser, page)


def test_a_point_of_the_map_shows_its_video(page: Path, browser: Tab) -> None:
    place = """(i => { const box = document.querySelector("#canvas svg").getBoundingClientRect();
        const points = JSON.parse(document.getElementById("points").textContent);
        const scale = box.width / 1000;
        return [box.left + points.x[i] * scale, box.top + points.y[i] * scale, points.name[i]] })"""
    browser.look(width=1440, dark=False)
    browser.open(page.as_uri())
    browser.value('document.getElementById("map").scrollIntoView({behavior: "instant"})')
    x, y, name = browser.value(f"{place}(0)")
    browser.move_to(x, y)
    assert browser.value('document.querySelector("#card .name").textContent') == name
    assert browser.value('document.getElementById("card").hidden') is False
    clean(browser, page)


def test_every_picture_has_an_alternative_text(page: Path, browser: Tab) -> None:
    browser.look(width=1440, dark=False)
    browser.open(page.as_uri())
    without = browser.value('[...document.querySelectorAll("img:not([hidden])")].filter(one => !one.alt).length')
    tiles = browser.value('[...document.querySelectorAll("[role=img]")].filter(one => !one.ariaLabel).length')
    assert (without, tiles) == (0, 0)


def test_the_file_names_no_address(page: Path) -> None:
    """A browser may be told to fetch in ways that no event shows: there is nothing to fetch."""
    html = page.read_text()
    assert not re.search(r"https?://|url\((?!#)|@import|<link(?! rel=\"icon\" href=\"data:,\")|<iframe|<object", html)


@pytest.fixture(params=["no video", "no model", "no vectors"])
def lacking(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Roots in which something is not there yet."""
    root = storage.normalize(str(tmp_path / "root"))
    tables.create_missing(root)
    if request.param != "no video":
        tables.append_rows(root, "videos", [{"video_id": "a", "uri": "file:///a.mp4", "version": "1", "status": "ok"}])
    if request.param == "no vectors":
        storage.put(f"{root}/models/1/model.json", json.dumps({"digest": "d"}).encode())
        storage.put(f"{root}/models/champion.json", b'{"version": "1"}')
    return root


def test_what_is_not_there_is_said_in_words(lacking: str, browser: Tab, sora: Sora) -> None:
    made = sora("report", "--root", lacking, "--json")
    assert made.code == 0, made.err
    path = storage.local_path(f"{lacking}/report.html")
    browser.look(width=390, dark=False)
    browser.open(path.as_uri())
    assert len(browser.value('[...document.querySelectorAll(".absent")].map(one => one.textContent)')) >= 4
    assert not re.search(r"None|nan|undefined", browser.value("document.body.innerText"))
    clean(browser, path)


def test_a_root_without_tables_is_refused(tmp_path: Path, sora: Sora) -> None:
    made = sora("report", "--root", tmp_path)
    assert made.code == 2
    assert "sora catalog" in made.err
    assert not (tmp_path / "report.html").exists()


def test_a_kept_evaluation_is_shown_with_its_confusion_matrix(
    planted: str, tmp_path: Path, browser: Tab, sora: Sora
) -> None:
    figures = {
        "linear_probe": {"mean": 0.875, "sd": 0.0, "ci95": [0.8, 0.9]},
        "knn": 0.5,
        "retrieval": {"r1": 0.25, "r5": 0.5, "r10": 0.5, "r20": 0.5, "map": 0.4},
        "effective_rank": 7.5,
    }
    found = {
        **figures,
        "model": "1",
        "split": ["split1"],
        "psnr_z": 20.5,
        "ssim_z": None,
        "controls": {"pca64": figures},
    }
    planted = copied(planted, tmp_path)
    storage.put(f"{planted}/evaluations/1/evaluation.json", json.dumps(found).encode())
    confusion = {"classes": ["run", HOSTILE_LABEL], "counts": [[3, 1], [0, 2]]}
    storage.put(f"{planted}/evaluations/1/confusion.json", json.dumps(confusion).encode())
    path = tmp_path / "page.html"
    assert sora("report", "--root", planted, "--output", path, "--picture-seconds", 0).code == 0
    browser.look(width=1440, dark=False)
    browser.open(path.as_uri())
    cells = browser.value('[...document.querySelectorAll(".confusion td")].map(one => one.textContent.trim())')
    assert cells == ["", "75", "25", "", "100"]
    assert "87.5 %" in browser.value('document.querySelector("#model .ours").textContent')
    clean(browser, path)


def test_an_evaluation_that_is_damaged_costs_no_page(planted: str, tmp_path: Path, sora: Sora) -> None:
    planted = copied(planted, tmp_path)
    storage.put(f"{planted}/evaluations/1/evaluation.json", b"{")
    path = tmp_path / "page.html"
    assert sora("report", "--root", planted, "--output", path, "--picture-seconds", 0).code == 0
    assert "damaged" in path.read_text()


def test_every_chart_has_its_numbers_as_a_table(page: Path) -> None:
    assert re.search(rf"<td>{DS}</td>\s*<td>42</td>", page.read_text())
