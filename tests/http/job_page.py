"""The page of a running job in a real browser, over a demo: figures, partitions, open windows, SQL and plan, the end of
the job, the console, accessibility. Pictures are left in the folder that is given.

    python tests/http/job_page.py target/debug/stockpulse target/browser
"""

import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from playwright.sync_api import expect, sync_playwright

from dashboard import PHONE, Browser, step

PARTITIONS = 4


def number(text):
    return float(text.replace(",", "").split()[0])


def figures(page):
    """The big numbers, by what is written below them."""
    boxes = page.locator("#figures .figure").all()
    return {box.locator("span").inner_text(): box.locator("b").inner_text() for box in boxes}


def offsets(page):
    """Where reading is, a number a partition."""
    return [number(row.locator("td").nth(1).inner_text()) for row in page.locator("#partitions tr").all()]


def job_page(browser, demo, url):
    page = browser.page
    page.goto(url)
    expect(page.locator("#state")).to_have_text("running", timeout=20000)
    expect(page.locator("#name")).to_have_text("ohlc")
    expect(page.locator("#partitions tr")).to_have_count(PARTITIONS)
    first, start = offsets(page), time.monotonic()
    while any(now <= before for now, before in zip(offsets(page), first)):
        assert time.monotonic() - start < 20, f"a partition stands still: {first}, {offsets(page)}"
        page.wait_for_timeout(100)
    assert number(figures(page)["ticks a second"]) > 0, figures(page)
    sinks = [row.locator("td").all_inner_texts() for row in page.locator("#sinks tr").all()]
    assert [sink[0] for sink in sinks] == ["ohlc"] and sinks[0][5] == "well", sinks
    read = page.locator("#ticks dd").all_inner_texts()
    assert number(read[0]) >= number(read[1]) > 0, read
    step(f"figures, {PARTITIONS} partitions that move, {read[0]} ticks")

    page.get_by_role("button", name="Look at them").click()
    expect(page.locator("#open tr").first).to_be_visible(timeout=10000)
    heads = page.locator("#open-head th").all_inner_texts()
    assert heads[:2] == ["symbol", "window_start"], heads
    column = heads.index("trades")
    trades = lambda: sum(number(cell) for cell in page.locator(f"#open td:nth-child({column + 1})").all_inner_texts())
    before = trades()
    start = time.monotonic()
    while trades() == before:
        assert time.monotonic() - start < 10, "the open windows stand still"
        page.wait_for_timeout(200)
    browser.accessible("open windows")
    browser.picture("job-open-dark")
    page.get_by_role("button", name="Look at them").click()
    expect(page.locator("#open-scroll")).to_be_hidden()
    step("open windows grow while somebody looks")

    page.get_by_text("The SQL", exact=True).click()
    expect(page.locator("#sql")).to_contain_text("CREATE TABLE raw_ticks")
    page.get_by_text("What becomes of it").click()
    expect(page.locator("#plan")).to_contain_text("DataFusion's plans, optimised")
    browser.accessible("SQL and plan")
    page.get_by_text("The SQL", exact=True).click()
    page.get_by_text("What becomes of it").click()

    expect(page.locator("#charts .line")).to_have_count(7, timeout=45000)
    page.emulate_media(color_scheme="light")
    browser.accessible("light")
    browser.picture("job-light")
    page.set_viewport_size(PHONE)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"], f"{width} pixels on a phone"
    browser.accessible("phone")
    browser.picture("job-phone")
    page.emulate_media(color_scheme="dark")
    browser.picture("job-phone-dark")
    assert not browser.said, browser.said
    others = [asked for asked in browser.asked if not asked.startswith((url, "data:"))]
    assert not others, others
    step("charts, light and dark, on a phone; nothing was asked of anybody else")

    browser.is_away = True
    demo.send_signal(signal.SIGTERM)
    demo.wait(20)
    expect(page.locator("#state")).to_contain_text("the job does not answer", timeout=15000)
    browser.picture("job-away")
    assert not browser.said, browser.said
    step("a job that is gone is said to be")


def main(binary, pictures, chromium):
    pictures.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="stockpulse-job-")
    command = [binary, "demo", "--api-port", "0", "--for", "120s"]
    demo = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        said = iter(demo.stdout.readline, "")
        url = next(line.split()[1] for line in said if line.split()[:1] == ["job"])
        with sync_playwright() as playwright:
            browser = Browser(playwright, chromium, pictures)
            job_page(browser, demo, url)
            browser.browser.close()
    finally:
        demo.kill()
        demo.wait(20)
        shutil.rmtree(folder)


if __name__ == "__main__":
    chromium = shutil.which("chromium")
    assert chromium, "no chromium; .ci/tools installs it"
    main(str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]), chromium)
    print("the job's page holds")
