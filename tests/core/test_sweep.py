"""Grids written out: which trials there are, which are one, and what a slip in a study is told."""

from typing import Any

import pytest

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError
from asrkd.core.grid import label
from asrkd.core.sweep import Plan, Planner, SweepConfig

RECIPE: dict[str, Any] = {
    "teacher": {"epochs": 3, "loss": {"type": "cross_entropy"}},
    "student": {"epochs": 2, "loss": {"type": "distillation", "temperature": 2.0, "alpha": 0.9}},
    "posteriors": {"temperature": 2.0, "codec": {"type": "topk", "k": 4}},
}


def plan_of(studies: dict[str, Any], **sweep: Any) -> Plan:
    config = parse(SweepConfig, {"seeds": [1, 2], "studies": studies, **sweep}, "study.yaml: sweep")
    return Planner(
        config,
        RECIPE,
        lambda folder: 2 if folder else 3,
        lambda train: train["loss"]["type"] != "cross_entropy",
        "study.yaml: sweep",
    ).plan()


def refusal(studies: dict[str, Any], **sweep: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        plan_of(studies, **sweep)
    return str(refused.value)


def test_a_grid_is_every_combination_in_order_with_every_seed() -> None:
    plan = plan_of({"a": {"grid": {"train.epochs": [1, 5], "alpha": [0.5, 1]}}})
    (study,) = plan.studies
    assert [list(row.labels.values()) for row in study.rows] == [["1", "0.5"], ["1", "1"], ["5", "0.5"], ["5", "1"]]
    assert list(plan.trials) == [f"a/train.epochs={e},alpha={a}/{s}" for e in "15" for a in ("0.5", "1") for s in "12"]
    trial = plan.trials["a/train.epochs=5,alpha=0.5/2"]
    assert trial.section == "student"
    assert trial.train == {
        "epochs": 5, "seed": 2, "loss": {"type": "distillation", "temperature": 2.0, "alpha": 0.5}
    }  # fmt: skip
    assert RECIPE["student"]["loss"]["alpha"] == 0.9


def test_temperature_sets_loss_and_archive() -> None:
    plan = plan_of({"a": {"grid": {"temperature": [1, 5]}}})
    trial = plan.trials["a/temperature=5/1"]
    assert trial.soft_targets is not None
    assert trial.train["loss"]["temperature"] == trial.soft_targets.posteriors["temperature"] == 5
    assert len(plan.archives) == 2


def test_trials_that_come_out_the_same_are_one_across_studies() -> None:
    plan = plan_of(
        {
            "a": {"grid": {"temperature": [1, 2]}},
            "b": {"grid": {"codec": [{"type": "topk", "k": 4}, {"type": "dense"}]}, "words": True},
            "c": {"grid": {"num_teachers": [2, 3]}},
        }
    )
    assert (
        plan.studies[1].rows[0].trials == plan.studies[2].rows[1].trials == {s: f"a/temperature=2/{s}" for s in (1, 2)}
    )
    assert len(plan.trials) == 2 * 4
    assert len(plan.archives) == 4
    assert {trial.name for trial in plan.trials.values() if trial.words} == {
        *(f"a/temperature=2/{seed}" for seed in (1, 2)), *(f"b/codec=dense/{seed}" for seed in (1, 2))
    }  # fmt: skip


def test_without_weight_on_soft_targets_one_net_stands_for_all_of_them() -> None:
    grid = {"temperature": [1, 2, 5], "alpha": [0, 1], "codec": [{"type": "dense"}, {"type": "topk", "k": 4}]}
    plan = plan_of({"a": {"grid": grid, "fixed": {"num_teachers": 2}}}, seeds=[1])
    assert len(plan.studies[0].rows) == 12
    assert len(plan.trials) == 1 + 6
    assert len(plan.archives) == 1 + 6
    assert len({tuple(row.trials.values()) for row in plan.studies[0].rows if row.labels["alpha"] == "0"}) == 1


def test_hard_labels_take_no_soft_targets_and_a_named_value_sets_several_things() -> None:
    targets = {"hard": {"section": "teacher", "train.epochs": 9}, "soft": {}}
    plan = plan_of({"size": {"grid": {"targets": targets, "hidden_units": [8, 4]}, "reference": {"targets": "hard"}}})
    hard, soft = plan.trials["size/targets=hard,hidden_units=4/1"], plan.trials["size/targets=soft,hidden_units=4/1"]
    assert (hard.section, hard.soft_targets, hard.train["epochs"]) == ("teacher", None, 9)
    assert hard.train["model"] == soft.train["model"] == {"hidden_units": 4}
    assert soft.soft_targets is not None
    assert plan.studies[0].references == [0, 1, 0, 1]


def test_teachers_that_are_asked_as_the_net_trains_need_no_archive() -> None:
    plan = plan_of(
        {"a": {"grid": {"num_teachers": [1, 3]}, "fixed": {"online": True}}, "b": {"grid": {"alpha": [0.9]}}}
    )
    assert [plan.trials[f"a/num_teachers={count}/1"].online for count in (1, 3)] == [1, 3]
    assert len(plan.trials) == 2 * 3  # that of b has an archive: another net
    assert len(plan.archives) == 1
    hard = plan_of({"a": {"grid": {"section": ["teacher"]}, "fixed": {"online": True}}})
    assert [trial.online for trial in hard.trials.values()] == [0, 0]


def test_a_teacher_is_one_net_whatever_the_seed() -> None:
    plan = plan_of({"a": {"grid": {"who": {"teacher": {"teacher": 2}, "student": {}}}, "fixed": {"train.epochs": 9}}})
    assert plan.studies[0].rows[0].trials == dict.fromkeys((1, 2), "a/who=teacher/1")
    trial = plan.trials["a/who=teacher/1"]
    assert (trial.teacher, trial.train, trial.soft_targets) == (2, {}, None)


def test_a_reference_on_all_axes_is_one_row() -> None:
    study = {"grid": {"temperature": [1, 2.0], "alpha": [0.5, 1]}, "reference": {"temperature": 2, "alpha": 0.5}}
    assert plan_of({"a": study}).studies[0].references == [2, 2, 2, 2]
    assert plan_of({"a": {"grid": {"alpha": [1]}}}).studies[0].references == [None]


def test_points_are_adjusted_where_all_their_values_are_named() -> None:
    grid = {"temperature": [1, 2], "size": {"small": {"train.epochs": 3}, "large": {"train.epochs": 4}}}
    adjust = [
        {"at": {"size": "large"}, "set": {"alpha": 0}},
        {"at": {"temperature": 2.0, "size": "large"}, "set": {"train.epochs": 5}},
    ]
    plan = plan_of({"a": {"grid": grid, "adjust": adjust}}, seeds=[1])
    trained = [trial.train for trial in plan.trials.values()]
    assert [each["epochs"] for each in trained] == [3, 4, 3, 5]
    assert [each["loss"].get("alpha") == 0 for each in trained] == [False, True, False, True]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (0.5, "0.5"),
        (True, "true"),
        (None, "none"),
        ("logits", "logits"),
        ([1, 2], "1 2"),
        ({"k": 40, "type": "topk"}, "topk 40"),
        ({"type": "sampled", "draws": 100, "max_variance": 0.01}, "sampled 100 0.01"),
    ],
)
def test_label(value: Any, text: str) -> None:
    assert label(value) == text


def test_folders_never_climb() -> None:
    plan = plan_of({"a": {"grid": {"train.device": ["../../x", "/etc", ".."]}}}, seeds=[1])
    assert list(plan.trials) == ["a/train.device=..-..-x/1", "a/train.device=-etc/1", "a/train.device=/1"]


@pytest.mark.parametrize(
    ("study", "told"),
    [
        ({"grid": {}}, "grid is empty: which settings are to vary?"),
        ({"grid": {"alpha": []}}, "grid.alpha is empty"),
        ({"grid": {"temprature": [1]}}, "grid: unknown setting 'temprature'; did you mean 'temperature'?"),
        ({"grid": {"alpha": [1]}, "fixed": {"codek": {}}}, "fixed: unknown setting 'codek'; did you mean 'codec'?"),
        ({"grid": {"x": {"y": {"alhpa": 1}}}}, "grid.x.y: unknown setting 'alhpa'; did you mean 'alpha'?"),
        ({"grid": {"alpha": [1, 0.5, 1.0]}}, "grid.alpha: '1' is there twice"),
        ({"grid": {"section": ["studnet"]}}, "there is no section 'studnet'; did you mean 'student'?"),
        ({"grid": {"train.seed": [1, 2]}}, "grid: train.seed: the seeds are those of `seeds`"),
        ({"grid": {"num_teachers": [4]}}, "num_teachers 4: there are 3 teachers"),
        ({"grid": {"num_teachers": [0]}}, "num_teachers 0: there are 3 teachers"),
        ({"grid": {"num_teachers": [True]}}, "num_teachers True: there are 3 teachers"),
        ({"grid": {"teacher": [1, 4]}}, "teacher 4: there are 3 teachers"),
        ({"grid": {"alpha": [1]}, "fixed": {"online": "yes"}}, "fixed: online 'yes' is neither true nor false"),
        ({"grid": {"alpha": [1]}, "reference": {"alhpa": 1}}, "reference: 'alhpa' is no axis; did you mean 'alpha'?"),
        ({"grid": {"alpha": [1]}, "reference": {"alpha": 2}}, "reference.alpha: '2' is no value of it; known are 1"),
        ({"grid": {"alpha": [1]}, "adjust": [{"at": {"x": 1}, "set": {"alpha": 0}}]}, "adjust.0.at: 'x' is no axis"),
        ({"grid": {"alpha": [1]}, "adjust": [{"at": {"alpha": 2}, "set": {"alpha": 0}}]}, "at.alpha: '2' is no value"),
        ({"grid": {"alpha": [1]}, "adjust": [{"at": {"alpha": 1}, "set": {"x": 0}}]}, "set: unknown setting 'x'"),
        ({"grid": {"alpha": [1]}, "adjust": [{"at": {"alpha": 1}}]}, "adjust.0"),
        ({"grid": {"alpha": [1]}, "against": "bytes"}, "against: 'bytes' is neither"),
        ({"grid": {"train.loss.type.x": [1]}}, "'type' is a value, not a section"),
    ],
)
def test_a_slip_is_named(study: dict[str, Any], told: str) -> None:
    assert refusal({"one": study}).startswith("study.yaml: sweep: studies.one")
    assert told in refusal({"one": study})


def test_slips_beside_the_grids_are_named() -> None:
    good = {"grid": {"alpha": [1]}}
    assert refusal({"one": good}, seeds=[1, 2, 1]) == "study.yaml: sweep: seeds: 1 is there twice"
    assert "did you mean 'words'" in refusal({"one": {**good, "word": True}})
    assert "did you mean 'seeds'" in refusal({"one": good}, seed=[1])
    assert "letters, digits" in refusal({"../one": good})
    assert "studies" in refusal({})


def test_other_teachers_make_another_archive_and_are_counted_there() -> None:
    plan = plan_of({"a": {"grid": {"teachers": ["", "others"]}, "fixed": {"num_teachers": 2}}})
    own, others = plan.archives.values()
    assert [(each.teachers, each.num_teachers) for each in (own, others)] == [("", 2), ("others", 2)]
    assert own.posteriors == others.posteriors
    told = refusal({"a": {"grid": {"num_teachers": [3]}, "fixed": {"teachers": "others"}}})
    assert told.endswith("studies.a: num_teachers 3: there are 2 teachers")


def test_each_seed_may_have_a_teacher_of_its_own() -> None:
    plan = plan_of({"a": {"grid": {"who": {"taught": {"num_teachers": "own"}, "itself": {"teacher": "own"}}}}})
    for place, seed in enumerate("12", start=1):
        taught, itself = (plan.trials[f"a/who={name}/{seed}"] for name in ("taught", "itself"))
        assert taught.soft_targets is not None
        assert (taught.soft_targets.first, taught.soft_targets.num_teachers) == (place, 1)
        assert itself.teacher == place
    first = plan_of({"a": {"grid": {"num_teachers": [1, "own"]}}})
    assert len(first.trials) == 2 + 1  # the first seed's own teacher is the first
    told = refusal({"a": {"grid": {"num_teachers": ["own"]}}}, seeds=[1, 2, 3, 4])
    assert told.endswith("num_teachers 4: there are 3 teachers")
    told = refusal({"a": {"grid": {"num_teachers": ["own"]}, "fixed": {"online": True}}})
    assert "own is for soft targets from an archive" in told


def test_what_is_of_archives_alone_is_no_axis_where_there_is_none() -> None:
    """Its rows would all be one net; what is fixed is of the other rows, as where an archive stands beside."""
    for axis in ({"passes": [1, 2]}, {"codec": [{"type": "dense"}, {"type": "topk"}]}, {"posteriors.passes": [1, 2]}):
        told = refusal({"a": {"grid": axis, "fixed": {"online": True}}})
        assert told.endswith(
            f"{next(iter(axis))} is of archives of soft targets, and says nothing where online is true"
        )
    beside = {"grid": {"online": [False, True]}, "fixed": {"codec": {"type": "dense"}}}
    assert len(plan_of({"a": beside}).trials) == 4


def test_studies_alone_keep_whose_trials_are_whose() -> None:
    """A net of two studies is the first one's, whichever of them are asked for."""
    studies = {"a": {"grid": {"temperature": [1, 2]}}, "b": {"grid": {"temperature": [2, 4]}}}
    plan = plan_of(studies)
    assert list(plan.only(["b"]).trials) == [
        "a/temperature=2/1",
        "a/temperature=2/2",
        "b/temperature=4/1",
        "b/temperature=4/2",
    ]
    assert [study.name for study in plan.only(["b"]).studies] == ["b"]
    assert plan.only(["b", "a"]) == plan
    with pytest.raises(ConfigError, match="--only c: no such study"):
        plan.only(["c"])


def test_teachers_may_be_measured_together() -> None:
    plan = plan_of({"a": {"grid": {"num_teachers": [2, 3]}, "fixed": {"teacher": "all"}}})
    assert [(trial.teacher, trial.last) for trial in plan.trials.values()] == [(1, 2), (1, 3)]


def test_stochastic_passes_are_of_an_archive_or_of_a_teacher() -> None:
    plan = plan_of({"a": {"grid": {"passes": [0, 4]}}, "b": {"grid": {"passes": [0, 4]}, "fixed": {"teacher": 2}}})
    assert [each.posteriors["passes"] for each in plan.archives.values()] == [0, 4]
    assert [plan.trials[f"b/passes={n}/1"].passes for n in (0, 4)] == [0, 4]
    assert "passes -1 is not a whole number" in refusal({"b": {"grid": {"passes": [-1]}, "fixed": {"teacher": 2}}})


def test_a_gap_begins_at_a_row_of_its_own() -> None:
    grid = {"section": ["teacher", "student"], "train.fraction": [0.5, 1]}
    reference = {"section": "teacher", "train.fraction": 1}
    plan = plan_of({"a": {"grid": grid, "reference": reference, "gap_from": {"section": "teacher"}}})
    assert plan.studies[0].references == [1, 1, 1, 1]
    assert plan.studies[0].floors == [0, 1, 0, 1]
    told = refusal({"a": {"grid": grid, "reference": reference, "gap_from": {"sections": "teacher"}}})
    assert told.endswith("gap_from: 'sections' is no axis; did you mean 'section'?")
    told = refusal({"a": {"grid": grid, "gap_from": {"section": "teacher"}}})
    assert told.endswith("studies.a: gap_from: the gap ends at the reference: name that, too")


@pytest.mark.parametrize(
    ("paper", "told"),
    [
        ({"columns": ["system", "test"], "rows": [["baseline", 58.9], ["soft"]]}, "has 1 cells for 2 columns"),
        ({"columns": [], "rows": [["baseline"]]}, "columns"),
        (
            {"columns": ["a"], "rows": [["b"]], "titel": "x"},
            "unknown key 'studies.a.paper.titel'; did you mean 'title'?",
        ),
    ],
)
def test_a_paper_table_is_checked(paper: dict[str, Any], told: str) -> None:
    assert told in refusal({"a": {"grid": {"alpha": [1]}, "paper": paper}})
