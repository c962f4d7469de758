import b2b_sem as bs
from b2b_sem.simulate.codebook import codebook
from b2b_sem.simulate.respond import simulate
from b2b_sem.spec.loader import load_survey


def test_every_column_is_described_in_its_order():
    data = simulate("lima2026_sectors", n=5, seed=1)
    book, survey = data.codebook, load_survey("lima2026")
    assert book["column"].tolist() == data.frame.columns.tolist()
    rows = book.set_index("column")
    assert rows.loc["id", "kind"] == "other"
    for item in survey.items():
        if item in rows.index:
            own = rows.loc[item]
            assert own["kind"] == "item"
            assert own["text"] == survey.item(item).text
            assert own["scale"] == survey.scale_of(item)
            assert own["reverse"] == ("yes" if survey.item(item).reverse else "no")
            assert (own["low"], own["high"]) == tuple(map(str, survey.range_of(item)))
    for check, spec in survey.attention_checks.items():
        assert rows.loc[check, "kind"] == "attention check"
        assert rows.loc[check, "text"].endswith(f"(right answer: {spec.answer})")
    fact = survey.facts["sector"]
    assert rows.loc["sector", "kind"] == "fact"
    for code, label in fact.categories.items():
        assert f"{code} = {label}" in rows.loc["sector", "codes"]
    assert not book.isna().any(axis=None)


def test_other_columns_are_told_what_they_are():
    book = codebook(load_survey("lima2026"), ["id", "firm"], {"id": "number", "firm": "number of the firm"})
    assert book["text"].tolist() == ["number", "number of the firm"]
    assert set(book["scale"]) == {""}


def test_a_codebook_comes_with_the_public_function():
    assert bs.simulate("lima2026", n=2, seed=1).codebook is not None
