"""Sits down at the page in a real browser, as a trainee would, and says what it saw as JSON.

Arguments: the page's address, the browser, a folder for pictures of the page.
"""

import io
import json
import re
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import TimeoutError, sync_playwright

# A machine without a graphics card draws with its processor.
PAINTED = ["--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--no-sandbox"]
WAIT_MS = 60_000


def colours(page):
    """How many colours the picture has, in 32 steps each."""
    png = page.locator("#scene").screenshot()
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return len({tuple(channel // 8 for channel in pixel) for pixel in image.getdata()})


def place(page, arm):
    """Where the robot says that a tip is: x, y, z in mm."""
    text = page.locator(f"#{arm}at").text_content()
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text)]


def stage(page, name, within_ms=WAIT_MS):
    page.wait_for_function(
        "name => document.getElementById('stage').textContent === name",
        arg=name,
        timeout=within_ms,
        polling=50,
    )


def follow(page):
    """Presses the pedal until the robot follows: a browser that stalls lets go of it."""
    for _ in range(20):
        page.keyboard.up("Space")
        page.wait_for_timeout(300)
        page.keyboard.down("Space")
        try:
            return stage(page, "Follow", 3_000)
        except TimeoutError:
            continue
    raise AssertionError("the robot never followed")


def drag(page, hand, dx, dy):
    box = page.locator(f"[data-hand={hand}] [data-pad]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 11):
        page.mouse.move(x + dx * step / 10, y + dy * step / 10)
        page.wait_for_timeout(20)
    page.mouse.up()


def rests(page, arm):
    """The tip's place, once it moves no more."""
    before = None
    while True:
        page.wait_for_timeout(300)
        now = place(page, arm)
        if before is not None and max(abs(a - b) for a, b in zip(now, before)) < 0.02:
            return now
        before = now


def followed(page, key, dx, dy):
    """One drag of the left hand that the robot followed from its beginning to its end, with a key
    held: the tip's way in mm. A browser that stalls lets go of the pedal; then it is done again."""
    for _ in range(20):
        follow(page)
        if key:
            page.keyboard.down(key)
            page.wait_for_timeout(500)
        before = rests(page, "PSM1")
        stops = page.locator("#stage").text_content()
        drag(page, "psm1", dx, dy)
        after = rests(page, "PSM1")
        if key:
            page.keyboard.up(key)
        if stops == page.locator("#stage").text_content() == "Follow":
            return [b - a for a, b in zip(before, after)]
    raise AssertionError("no drag was followed to its end")


def main(url, browser, folder):
    said = {}
    errors = []
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=PAINTED)
        page = chromium.new_page(viewport={"width": 1280, "height": 720})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda line: errors.append(line.text) if line.type == "error" else None,
        )
        page.goto(url)
        stage(page, "Latched")
        page.wait_for_function(
            "() => !document.getElementById('task').hidden", timeout=WAIT_MS,
            polling=50,
        )
        page.wait_for_timeout(2_000)
        said["colours"] = colours(page)
        page.screenshot(path=str(Path(folder) / "practice-1280.png"))
        said["task"] = page.locator("#task-title").text_content()
        said["wider_than_the_screen"] = page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        serious = Axe().run(page).response["violations"]
        said["axe"] = [
            f"{found['id']}: {found['nodes'][0]['html']}"
            for found in serious
            if found["impact"] in ("serious", "critical")
        ]

        # The hands in the plain views, which leave the processor to the robot.
        page.select_option("#view", "plain")
        said["plain"] = page.locator("#views").is_visible()
        page.evaluate("document.querySelector('details.under').open = true")
        page.keyboard.press("Escape")
        said["ways_mm"] = {
            "right": followed(page, None, 60, 0),
            "up": followed(page, None, 0, -40),
            "clutched": followed(page, "c", 60, 0),
        }

        page.keyboard.up("Space")
        stage(page, "Latched")
        said["next"] = page.locator("#do-next").text_content()
        alarms = page.locator("#alarms li").count()
        said["to_acknowledge"] = page.locator("#alarm-count").text_content()
        # Each goes once it is seen; what is raised meanwhile is one more.
        waiting = page.locator("#alarms button:visible")
        while waiting.count():
            try:
                waiting.first.click(timeout=2_000)
            except TimeoutError:
                pass  # it went by itself, or another took its place
            page.wait_for_timeout(200)
        said["alarms"] = alarms
        page.locator("#task-again").click()
        page.wait_for_function(
            "() => document.getElementById('task-time').textContent === '0.0'",
            timeout=WAIT_MS,
            polling=50,
        )
        follow(page)
        page.wait_for_function(
            "() => Number(document.getElementById('task-time').textContent) > 0.3",
            timeout=WAIT_MS,
            polling=50,
        )
        page.keyboard.up("Space")
        stage(page, "Latched")
        chromium.close()
    said["errors"] = errors
    print(json.dumps(said))


main(*sys.argv[1:])
