"""The dashboard in a real browser, against a prepared table and a job that only answers: what is drawn, live
updates, switching, outages, the console, accessibility. Pictures are left in the folder that is given.

    python tests/http/dashboard.py target/debug/stockpulse-api target/browser
"""

import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from world import Api, Job, Table, candle, utc, walk

BTC, ETH, DOGE = "BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "KRAKEN:DOGE/USD"
GAP = range(400, 412)
PHONE = {"width": 390, "height": 780}
DESK = {"width": 1280, "height": 800}


class Browser:
    """A page, what its console said, and what it asked for."""

    def __init__(self, playwright, chromium, pictures):
        self.browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        self.context = self.browser.new_context(viewport=DESK, color_scheme="dark", locale="en-US", timezone_id="UTC", has_touch=False)
        self.page = self.context.new_page()
        self.pictures = pictures
        self.said, self.asked = [], []
        self.is_away = False
        self.page.on("console", lambda message: self.hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self.hear("error", str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def hear(self, kind, text):
        # A browser reports each refused connection: while the server is away, that is what is tested.
        is_expected = self.is_away and "ERR_" in text
        if kind in ("error", "warning") and not is_expected:
            self.said.append(text)

    def picture(self, name):
        self.page.screenshot(path=self.pictures / f"{name}.png")

    def accessible(self, name):
        found = Axe().run(self.page)
        assert found.violations_count == 0, f"axe, {name}: {found.generate_report()}"

    def bars(self):
        return self.page.evaluate("stockpulse.candles()")

    def wait(self, condition, what, seconds=10):
        """Until a condition in the page's own words holds; how long it took."""
        start = time.monotonic()
        # Deliberately not the driver's own waiting, which evaluates text in the page: the policy forbids that.
        while not self.page.evaluate(condition):
            if time.monotonic() - start > seconds:
                self.picture("failed")
                raise AssertionError(f"{what}: {condition} did not become true; {self.bars()[-3:]}, console {self.said}")
            self.page.wait_for_timeout(50)
        return time.monotonic() - start

    def state(self, name):
        expect(self.page.locator("#state")).to_have_attribute("data-state", name, timeout=15000)


def drawn(bars):
    return {bar["time"]: tuple(bar[price] for price in ("open", "high", "low", "close")) for bar in bars if "close" in bar}


def stored(candles):
    return {row["window_start"]: tuple(row[price] for price in ("open", "high", "low", "close")) for row in candles}


def main(binary, pictures, chromium):
    pictures.mkdir(parents=True, exist_ok=True)
    root = tempfile.mkdtemp(prefix="stockpulse-browser-")
    table, job = Table(root), Job()
    api = Api(binary, table, job)
    try:
        with sync_playwright() as playwright:
            browser = Browser(playwright, chromium, pictures)
            dashboard(browser, api, table, job)
            with_the_demo(browser, str(pathlib.Path(binary).with_name("stockpulse")))
            with_a_token(browser, binary, table)
            browser.browser.close()
    finally:
        api.stop()
        job.stop()
        shutil.rmtree(root)


def step(text):
    print(f"  {text}", flush=True)


def dashboard(browser, api, table, job):
    page = browser.page
    now = int(time.time()) // 60 * 60
    first = now - 900 * 60
    btc = walk(BTC, first, 899, 61234.5, GAP)
    others = walk(ETH, first, 899, 3021.25) + walk(DOGE, first, 899, 0.1, ())

    page.goto(api.url)
    expect(page.get_by_role("heading", name="No candles yet")).to_be_visible()
    browser.picture("empty-dark")
    browser.accessible("empty")
    step("an empty table says so")

    table.publish(btc + others)
    browser.wait("stockpulse.candles().length > 800", "candles appear by themselves")
    assert page.evaluate("stockpulse.shown.symbol") == ETH, "the first symbol that is watched"
    step("candles appear by themselves")

    page.keyboard.press("/")
    page.keyboard.type("btc")
    expect(page.get_by_role("option")).to_have_count(1)
    browser.accessible("search")
    page.keyboard.press("Enter")
    browser.wait("stockpulse.shown.symbol == 'BINANCE:BTCUSDT' && stockpulse.candles().length > 800", "the symbol is switched")
    browser.state("live")
    assert job.asked > 0, "the job is asked while somebody listens"
    assert drawn(browser.bars()) == stored(btc), "the chart has the stored candles"
    without = [bar["time"] for bar in page.evaluate("stockpulse.gaps()") if "value" in bar]
    assert without == [first + at * 60 for at in GAP], f"gaps are shaded: {without}"
    places = [page.evaluate(f"stockpulse.place({first + at * 60})") for at in (GAP[0] - 1, GAP[-1] + 1)]
    assert places[1] - places[0] == len(GAP) + 1, f"gaps take their room: {places}"
    step(f"{len(btc)} candles are drawn as stored, {len(without)} minutes without trades are seen")

    running = now
    for close in (61000.25, 61111.75, 60990.5):
        job.candles = [candle(BTC, running - 60, 61010.0, 61005.0), candle(BTC, running, close, 61010.0)]
        took = browser.wait(f"stockpulse.candles().at(-1).close == {close}", "a live update is drawn")
        assert took < 3, f"{took} s"
    assert page.evaluate("stockpulse.candles().at(-1).color") is not None, "an open candle is hollow"
    expect(page.locator("#legend")).to_contain_text("running")
    browser.picture("live-dark")
    browser.accessible("live, dark")
    page.keyboard.press("t")
    browser.picture("live-light")
    browser.accessible("live, light")
    page.keyboard.press("t")
    step("the running candle is drawn as it changes")

    closed = candle(BTC, running - 60, 61044.5, 61005.0)
    table.publish([closed])
    browser.wait(f"stockpulse.candles().find(bar => bar.time == {running - 60}).close == 61044.5", "the closed candle replaces the open one")
    expect(page.locator("#toast")).to_contain_text("was corrected by late ticks")
    page.wait_for_timeout(300)
    browser.picture("corrected-dark")
    step("a candle that closes otherwise than it was shown is marked, and said")

    page.keyboard.press("2")
    browser.wait("stockpulse.shown.resolution == '5m' && stockpulse.candles().length > 100", "the resolution is switched")
    five = {}
    for row in btc + [closed]:
        five.setdefault(row["window_start"] // 300 * 300, []).append(row)
    start = sorted(five)[-3]
    rows = five[start]
    expected = (rows[0]["open"], max(row["high"] for row in rows), min(row["low"] for row in rows), rows[-1]["close"])
    assert drawn(browser.bars())[start] == expected, "five minutes are made of five"
    browser.wait("stockpulse.candles().at(-1).close == 60990.5", "the running five minutes have the running minute")
    browser.picture("five-minutes-dark")
    page.keyboard.press("1")
    browser.wait("stockpulse.shown.resolution == '1m' && stockpulse.candles().length > 800", "and back")
    step("larger resolutions, with the running candle")

    job.stop()
    browser.state("stored")
    expect(page.locator("#legend")).to_contain_text("as last seen")
    browser.picture("job-away-dark")
    job.start()
    browser.state("live")
    step("a job that is away is said, and forgotten when it is back")

    browser.is_away = True
    api.stop()
    browser.state("lost")
    expect(page.locator("#stale")).to_be_visible()
    browser.picture("disconnected-dark")
    browser.accessible("disconnected")
    missed = candle(BTC, running, 61500.0, 61044.5)
    job.candles = []
    table.publish([missed])
    api.start()
    browser.state("live")
    browser.is_away = False
    browser.wait("stockpulse.candles().at(-1).close == 61500", "what was missed is there")
    expect(page.locator("#stale")).to_be_hidden()
    expect(page.locator("#toast")).not_to_contain_text("61,500")
    step("the API restarts: the page says so, comes back, and has what it missed")

    page.set_viewport_size(PHONE)
    browser.wait("document.documentElement.scrollWidth <= innerWidth", "nothing stands out of a phone's screen")
    browser.picture("phone-dark")
    browser.accessible("phone")
    page.keyboard.press("t")
    browser.picture("phone-light")
    page.locator("#symbol").click()
    expect(page.get_by_role("option")).to_have_count(3)
    browser.picture("phone-search-light")
    page.get_by_role("option", name="DOGE").click()
    browser.wait("stockpulse.shown.symbol == 'KRAKEN:DOGE/USD'", "a symbol is taken by touch")
    browser.wait("stockpulse.candles().length > 800", "and drawn")
    page.set_viewport_size(DESK)
    page.keyboard.press("t")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard")).to_be_visible()
    browser.picture("help-dark")
    browser.accessible("help")
    page.keyboard.press("Escape")
    step("a phone's screen, the help")

    page.goto(f"{api.url}/#symbol=NO%3ASUCH&resolution=1m")
    page.reload()
    expect(page.get_by_role("heading", name="No candles of NO:SUCH")).to_be_visible()
    page.goto("about:blank")
    elsewhere = [url for url in browser.asked if not url.startswith((api.url, "about:", "data:"))]
    assert not elsewhere, elsewhere
    assert not browser.said, browser.said
    step("nothing was asked of anybody else, and the console is empty")


def with_a_token(browser, binary, table):
    page = browser.page
    api = Api(binary, table, None, API_TOKEN="open-sesame")
    try:
        # Each refused answer is said in the console.
        said = len(browser.said)
        page.goto(api.url)
        expect(page.get_by_role("heading", name="Token")).to_be_visible()
        browser.picture("token-dark")
        browser.accessible("token")
        page.get_by_role("textbox", name="Token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("not the server's")
        page.get_by_role("textbox", name="Token").fill("open-sesame")
        page.keyboard.press("Enter")
        browser.wait("stockpulse.candles().length > 800", "candles with the token")
        browser.state("stored")
        others = [text for text in browser.said[said:] if "401" not in text]
        assert not others, others
    finally:
        page.goto("about:blank")
        api.stop()
    step("a server with a token: asked for, refused, taken")


def with_the_demo(browser, binary):
    page = browser.page
    folder = tempfile.mkdtemp(prefix="stockpulse-demo-")
    command = [binary, "demo", "--api-port", "0", "--for", "90s"]
    demo = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        said = iter(demo.stdout.readline, "")
        url = next(line.split()[1] for line in said if line.split()[:1] == ["chart"])
        # Another server: what was chosen and sent before is not its business.
        page.goto(url)
        browser.wait("stockpulse.candles().length > 40", "the demo's candles", 40)
        count = page.evaluate("stockpulse.candles().length")
        bars = drawn(browser.bars())
        assert all(low <= min(open_, close) and high >= max(open_, close) for open_, high, low, close in bars.values())
        page.keyboard.press("/")
        expect(page.get_by_role("option")).to_have_count(10)
        page.keyboard.press("Escape")
        browser.wait(f"stockpulse.candles().length > {count}", "a minute of the demo closes, or runs", 75)
        browser.picture("demo-dark")
    finally:
        page.goto("about:blank")
        demo.send_signal(signal.SIGTERM)
        demo.wait(20)
        shutil.rmtree(folder)
    assert not browser.said, browser.said
    step(f"the demo: {len(bars)} candles, and another one while it was looked at")


if __name__ == "__main__":
    chromium = shutil.which("chromium")
    assert chromium, "no chromium; .ci/tools installs it"
    main(str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]), chromium)
    print("the dashboard holds", utc(int(time.time())))
