import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import study_fixture as studies
from plotly.offline import get_plotlyjs

from b2b_sem.report.html import render_report, write_report

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Collects what a page refers to, its ids, headings and figures, and checks that tags are closed."""

    def __init__(self, text):
        super().__init__()
        self.attributes, self.ids, self.text, self.stack, self.scripts = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, k, v) for k, v in attrs]
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "script":
            self.scripts.append([dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] == "script":
            self.scripts[-1][1] += data
        elif not self.stack or self.stack[-1] != "style":
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def result():
    return studies.demo()


@pytest.fixture(scope="module")
def html(result):
    return render_report(result)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_page_is_well_formed_and_accessible(page, html):
    assert page.stack == []
    assert len(page.ids) == len(set(page.ids))
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
    tags = {t for t, _, _ in page.attributes}
    assert {"main", "nav"} <= set(re.findall(r"<(\w+)", html)) | tags
    figures = [v for t, k, v in page.attributes if k == "id" and v.startswith("figure-")]
    assert len(figures) == 5
    assert html.count('role="img" aria-label="') == 5
    targets = [v[1:] for t, k, v in page.attributes if t == "a" and k == "href" and v.startswith("#")]
    assert set(targets) <= set(page.ids)
    assert html.count("<caption") == html.count("<table>")


def test_page_needs_no_network(page, html):
    for tag, key, value in page.attributes:
        if key in ("src", "href", "srcset", "action", "data", "poster"):
            assert tag == "a"
            assert value.startswith(("#", "https://doi.org/10."))
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(v for t, k, v in page.attributes if k == "content" and v.startswith("default-src"))
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    own = "".join(text for attrs, text in page.scripts if "data-figure" not in attrs and len(text) < 100_000)
    assert "http" not in own
    assert "Plotly.newPlot" in own


def test_exactly_one_copy_of_plotly(page, html):
    big = [text for _, text in page.scripts if len(text) > 1_000_000]
    assert len(big) == 1
    assert len(html) < len(get_plotlyjs()) + 1_000_000


def test_figure_data_is_json_and_cannot_end_its_script(page):
    specs = [(attrs, text) for attrs, text in page.scripts if "data-figure" in attrs]
    assert len(specs) == 5
    for attrs, text in specs:
        assert attrs["data-figure"] in page.ids
        assert "<" not in text
        spec = json.loads(text)
        assert spec["data"]
        assert spec["config"]["displaylogo"] is False


def test_summary_comes_first_in_plain_words(page):
    words = page.words
    assert words.index("Of the 8 propositions tested, 8 are supported") < words.index("Verdicts on the propositions")
    assert "Simulated respondents" in words
    assert "Draft instrument" in words
    assert "draft, not validated" in words
    assert "The scales need attention" in words


@pytest.mark.parametrize(
    "section",
    [
        "verdicts",
        "diagram",
        "fit",
        "measurement",
        "correlation",
        "htmt",
        "sample",
        "rivals",
        "recovery",
        "parameters",
        "method",
    ],
)
def test_sections(page, section):
    assert section in page.ids


def test_provenance_is_complete(page, result):
    words = page.words
    for digest in result.provenance["digests"].values():
        assert digest in words
    for version in result.provenance["versions"].values():
        assert version in words
    assert str(result.provenance["seed"]) in words
    assert f"b2b-sem run {result.id}" in words
    assert all(line in words for line in result.fit.model.defaults)


def test_a_failed_fit_is_loud_and_gives_no_numbers(result):
    html = render_report(studies.failed(result))
    page = Page(html)
    assert ("div", "role", "alert") in page.attributes
    assert "The fit failed" in page.words
    assert "No verdict rests on this fit." in page.words
    assert "None of the 10 propositions could be tested." in page.words
    assert "the optimiser stopped after 1000 steps" in page.words
    assert not {"correlation", "recovery", "figure-forest"} & set(page.ids)
    assert "RMSEA =" not in page.words


def test_names_from_outside_are_escaped(result):
    bad = '<script>alert("x")</script>'
    changed = replace(
        result,
        title=bad,
        warnings=(bad,),
        verdicts=(replace(result.verdicts[0], statement=bad, sentence=bad), *result.verdicts[1:]),
        sample=replace(result.sample, source=bad, background=((bad, result.sample.background[0][1]),)),
        study={**result.study, "instrument_notice": bad, "construct_names": {"NR": bad}},
        provenance={**result.provenance, "command": bad},
    )
    html = render_report(changed)
    assert bad not in html
    assert html.count("&lt;script&gt;alert(") >= 7
    Page(html)


def test_small_models_have_small_reports():
    html = render_report(studies.structure(observed=["x", "y"], paths=[("x", "y")]))
    page = Page(html)
    assert not {"measurement", "htmt", "correlation", "rivals", "recovery"} & set(page.ids)
    assert "declares no propositions" in page.words


def test_same_result_same_bytes(result, html):
    assert render_report(studies.demo()) == html


def test_file_appears_whole(result, html, tmp_path):
    path = write_report(result, tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == html
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_decisions_and_authors_are_written_as_text(result):
    study = {
        **result.study,
        "decisions": [{"what": "One family.", "why": "Stated together."}, {"what": "No outliers.", "why": "Planned."}],
        "authors": [{"name": "A. Author", "orcid": "0000-0001"}],
    }
    page = render_report(replace(result, study=study))
    assert "<dd>One family. Stated together. No outliers. Planned.</dd>" in page
    assert "<dd>A. Author, 0000-0001</dd>" in page
    assert "&#39;what&#39;" not in page
