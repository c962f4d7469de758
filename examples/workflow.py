"""The whole way in one file: questionnaire, answers, scales, model, verdicts.

Run it with ``python examples/workflow.py``. The respondents are simulated; put your own file where it says so.
"""

from __future__ import annotations

import b2b_sem as bs

# 1. The questionnaire: what was asked, and which answers must be turned around.
survey = bs.load_survey("lima2026")
print(f"{survey.title}: {len(survey.items())} items, {survey.notice}")

# 2. The answers. With your own data: answers = bs.read_responses("answers.csv")
answers = bs.simulate("lima2026", n=400, seed=1)

# 3. The measurement of three constructs, without reversed items.
measurement = """
    PC =~ pc1 + pc2 + pc3 + pc4
    RR =~ rr1 + rr2 + rr3 + rr4 + rr5 + rr6
    BT =~ bt1 + bt2 + bt3 + bt5 + bt6
"""
scales = bs.fit(measurement, answers.frame)
print(bs.reliability(scales).round(3).to_string(index=False))
print(bs.validity(scales).htmt.round(3).to_string())

# 4. The paths among them, with the indirect effect.
paths = bs.fit(
    measurement
    + """
    RR ~ a*PC
    BT ~ b*RR + c*PC
    indirect := a*b
    total := a*b + c
    """,
    answers.frame,
)
assert paths.ok, paths.failure
shown = paths.parameters.query("op in ('~', ':=')")
print(shown[["lhs", "op", "rhs", "est", "se", "pvalue", "std_all"]].round(3).to_string(index=False))
print({name: round(paths.measures[name], 3) for name in ("chisq", "df", "cfi", "rmsea", "srmr")})

# 5. A whole study, as a file describes it: model, verdicts, rivals.
study = bs.run_study("demo", seed=7)
for verdict in study.verdicts:
    print(f"{verdict.id:<4} {verdict.path:<22} {verdict.verdict}")
print(study.save("results.json"))
