"""The arithmetic of docs/cost.md: units times price, the sum, the units that the Rust tests assert,
and the memory that the template sets."""

import re

import pytest

import template
from template import ROOT

UNITS_PER_MILLION = {"million": 1, "thousand": 1_000, "each": 1_000_000}


def table(title):
    """Returns the rows of the table in docs/cost.md whose first column has this title."""
    page = (ROOT / "docs/cost.md").read_text()
    rows = re.search(rf"^\| {title} \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)[1]
    return [[cell.strip(" *`") for cell in row.strip("|").split("|")] for row in rows.splitlines()]


*BILL, TOTAL = table("what")
UNITS = {what: float(amount) for what, amount, _, _ in BILL}
CALLS = table("call")


def dollars(text):
    return float(text.removeprefix("$"))


def to_the_cent(amount):
    return pytest.approx(amount, abs=0.00501)


def price_of_a_million(text):
    amount, unit = re.fullmatch(r"\$([0-9.]+) (?:per )?(\w+)", text).groups()
    return float(amount) * UNITS_PER_MILLION[unit]


@pytest.mark.parametrize(("what", "amount", "price", "product"), BILL, ids=UNITS)
def test_a_line_of_the_bill_is_units_times_price(what, amount, price, product):
    assert dollars(product) == to_the_cent(float(amount) * price_of_a_million(price))


def test_the_total_is_the_sum_of_the_bill():
    assert dollars(TOTAL[3]) == to_the_cent(sum(dollars(row[3]) for row in BILL))


@pytest.mark.parametrize(("what", "column"), [("write units", 2), ("read units", 3)])
def test_dynamodb_units_are_the_sum_of_the_steps(what, column):
    steps = sum(int(row[column] or 0) for row in table("step"))
    assert UNITS[f"DynamoDB, {what}"] == steps


def units_that_the_tests_assert():
    """Returns the write and read units of a whole reset, read from the Rust test."""
    code = (ROOT / "tests/e2e/costs.rs").read_text()
    test = re.search(r"fn each_step_of_a_reset.*?^}", code, re.DOTALL | re.MULTILINE)[0]
    calls = re.findall(r'\("(\w+)", ([0-9.]+)\)', test)
    reads = sum(float(units) for call, units in calls if call == "GetItem")
    return sum(float(units) for _, units in calls) - reads, reads


def test_dynamodb_units_are_those_that_the_tests_assert():
    assert (UNITS["DynamoDB, write units"], UNITS["DynamoDB, read units"]) == units_that_the_tests_assert()


@pytest.mark.parametrize(("call", "memory"), [row[:2] for row in CALLS], ids=[row[0] for row in CALLS])
def test_memory_is_that_of_the_template(call, memory):
    function = f"{call.split('`')[0].strip().capitalize()}Function"
    usual = template.load()["Globals"]["Function"]["MemorySize"]
    assert int(memory) == template.load()["Resources"][function]["Properties"].get("MemorySize", usual)


def test_gb_seconds_are_memory_times_duration():
    seconds = sum(int(memory) / 1024 * int(millis) / 1000 * int(times) for _, memory, millis, times in CALLS)
    assert UNITS["Lambda, GB-seconds (arm64)"] == pytest.approx(seconds, abs=0.0001)


def test_lambda_calls_are_the_sum_of_the_calls():
    assert UNITS["Lambda, calls"] == sum(int(row[3]) for row in CALLS)
