"""The comparison of hand-made systems, whose figures are counted by hand."""

from pathlib import Path
from typing import Any

import pytest

from asrkd.core.errors import AsrkdError, ConfigError, DataError, MismatchError
from asrkd.scoring.compare import Against, compare
from asrkd.scoring.systems import assign_roles, locate

from .conftest import LABELS, PHONES, TEXT, World, tiny_model, write_labels

# Of ten frames, seven are speech. The baseline has 5 right, 3 of them speech; the teacher 9; the student 7.
BASELINE = {"u": "SIL AA0_B S_B AA0_B S_B S_B", "v": "SIL T_E AA0_B T_E"}
TEACHER = {"u": "SIL SIL AA0_B AA0_B S_B T_E", "v": "SIL AA1_E AA1_E S_B"}
STUDENT = {"u": "SIL SIL AA0_B AA0_B T_E T_E", "v": "SIL AA1_E AA0_B S_B"}
SAID = {"baseline": {"u": "a b x d", "v": "a b"}, "ensemble": TEXT, "distilled": {"u": "a b c d e f", "v": "a b"}}


def _write(world: World) -> list[str]:
    frames = {"baseline": BASELINE, "ensemble": TEACHER, "distilled": STUDENT}
    return [str(world.system(name, SAID[name], frames[name])) for name in frames]


def _compare(world: World, systems: list[str], phones: bool = True, **options: Any) -> dict[str, Any]:
    located = locate(systems)
    more = {"alignment": world.alignment, "tied_states": world.tied_states} if phones else {}
    roles = assign_roles([system.name for system in located])
    return compare(located, roles, Against(world.text, **{**more, **options}))


def _rates(compared: dict[str, Any], measure: str) -> dict[str, float]:
    return {each["name"]: each["rates"][measure]["value"] for each in compared["systems"] if measure in each["rates"]}


def test_words_by_hand(world: World) -> None:
    compared = _compare(world, _write(world))
    assert compared["words"] == {"utterances": 2, "words": 7}
    assert _rates(compared, "wer") == pytest.approx({"baseline": 2 / 7, "ensemble": 0, "distilled": 1 / 7})
    assert _rates(compared, "substitutions") == pytest.approx({"baseline": 1 / 7, "ensemble": 0, "distilled": 0})
    assert _rates(compared, "deletions") == pytest.approx({"baseline": 1 / 7, "ensemble": 0, "distilled": 0})
    assert _rates(compared, "insertions") == pytest.approx({"baseline": 0, "ensemble": 0, "distilled": 1 / 7})
    assert _rates(compared, "ser") == pytest.approx({"baseline": 0.5, "ensemble": 0, "distilled": 0.5})
    pairs = {(each["a"], each["b"]): each for each in compared["matched_pairs"]}
    assert pairs["distilled", "ensemble"]["segments"] == 1
    assert pairs["distilled", "ensemble"]["p"] == 1
    assert [each["measure"] for each in compared["transfer"]] == ["frame_accuracy", "speech_accuracy", "wer"]


def test_frames_by_hand(world: World) -> None:
    compared = _compare(world, _write(world))
    assert compared["frames"] == {
        "utterances": 2,
        "frames": 10,
        "speech_frames": 7,
        "classes": {"vowels": 4, "stops": 2, "fricatives": 1, "silence": 3},
    }
    assert _rates(compared, "frame_accuracy") == pytest.approx({"baseline": 0.5, "ensemble": 0.9, "distilled": 0.7})
    assert _rates(compared, "speech_accuracy") == pytest.approx(
        {"baseline": 3 / 7, "ensemble": 6 / 7, "distilled": 4 / 7}
    )
    assert _rates(compared, "class:vowels")["baseline"] == pytest.approx(1 / 4)
    assert _rates(compared, "class:stops")["distilled"] == pytest.approx(1 / 2)
    # Stress and position apart, two of the wrong states are of the right phone.
    assert _rates(compared, "phone_accuracy") == pytest.approx({"baseline": 0.6, "ensemble": 0.9, "distilled": 0.8})
    assert _rates(compared, "agreement") == pytest.approx({"baseline": 0.4, "ensemble": 1, "distilled": 0.8})
    assert _rates(compared, "phone_agreement") == pytest.approx({"baseline": 0.5, "ensemble": 1, "distilled": 0.9})
    share = compared["transfer"][0]
    assert (share["student"], share["estimate"]) == ("distilled", pytest.approx(0.5))
    student = next(each for each in compared["systems"] if each["name"] == "distilled")
    assert student["ece"] == pytest.approx(abs(0.7 - 0.75), abs=1e-3)
    assert student["speech_ece"] == pytest.approx(abs(4 / 7 - 0.75), abs=1e-3)


def test_confusions_by_hand(world: World) -> None:
    phones = _compare(world, _write(world))["phones"]
    assert [each["phone"] for each in phones["classes"]] == ["AA", "T", "S", "SIL", "SPN"]
    assert phones["confusions"]["baseline"] == [
        [2, 1, 1, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 1, 0, 0],
        [1, 0, 0, 2, 0],
        [0, 0, 0, 0, 0],
    ]
    assert phones["shared_pdfs"] == 1  # SPN has silence's


def test_a_shared_pdf_counts_as_the_aligned_phone(world: World) -> None:
    """Silence and noise share a pdf: a frame of noise is right, as its pdf is."""
    ali = write_labels(world.root / "noise", world.model, {"u": "SPN SIL T_E"})
    system = world.system("a", None, {"u": "SPN SIL SIL"}, alignment=ali)
    phones = _compare(world, [str(system)], alignment=ali)["phones"]
    assert phones["confusions"]["a"] == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0],  # T as silence, the first phone of its pdf
        [0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
    ]


def test_the_baseline_of_several_is_their_mean(world: World) -> None:
    systems = [
        str(world.system(f"teacher.{n}", SAID[name], each))
        for n, name, each in ((1, "baseline", BASELINE), (2, "ensemble", TEACHER))
    ]
    compared = _compare(world, [*systems, str(world.system("distilled", SAID["distilled"], STUDENT))])
    row = compared["systems"][0]
    assert (row["name"], row["members"]) == ("baseline", ["teacher.1", "teacher.2"])
    assert row["rates"]["frame_accuracy"]["value"] == pytest.approx(0.7)
    assert row["rates"]["frame_accuracy"]["spread"] == pytest.approx(0.4 / 2**0.5)
    assert row["errors"] == 1
    assert sum(map(sum, compared["phones"]["confusions"]["baseline"])) == 20


def test_the_same_system_twice_is_no_difference(world: World) -> None:
    first = world.system("a", SAID["baseline"], BASELINE)
    compared = _compare(world, [str(first), f"b={first}"])
    assert compared["comparisons"]
    for each in compared["comparisons"]:
        assert (each["difference"], each["low"], each["high"], each["p"], each["p_holm"]) == (0, 0, 0, 1, 1)
    assert [each["p"] for each in compared["matched_pairs"]] == [1]
    assert compared["transfer"] == []


def test_hypotheses_alone_in_either_format(world: World) -> None:
    world.system("a", SAID["baseline"])
    (world.root / "a.trn").write_text("a b x d (u)\na b (v)\n")
    (world.root / "b.txt").write_text("v a b\nu a b c d e\n")
    compared = _compare(world, [f"{world.root}/a.trn", f"{world.root}/b.txt"], phones=False)
    assert _rates(compared, "wer") == pytest.approx({"a": 2 / 7, "b": 0})
    assert compared["frames"] is None
    assert compared["phones"] is None


def test_words_and_frames_of_different_systems(world: World) -> None:
    with_frames = world.system("a", None, BASELINE)
    (world.root / "b.txt").write_text("u a b c d e\nv a b\n")
    compared = _compare(world, [str(with_frames), f"{world.root}/b.txt"])
    assert _rates(compared, "wer") == {"b": 0}
    assert _rates(compared, "frame_accuracy") == {"a": 0.5}
    assert not compared["comparisons"]


def test_missing_hypotheses_are_deletions_and_counted(world: World) -> None:
    (system,) = _compare(world, [str(world.system("a", {"v": "a b"}))], phones=False)["systems"]
    assert (system["missing"], system["first_missing"]) == (1, "u")
    assert system["rates"]["deletions"]["value"] == pytest.approx(5 / 7)


def test_without_an_alignment_what_needs_no_phones(world: World) -> None:
    compared = _compare(world, _write(world), phones=False)
    assert "speech_accuracy" not in compared["systems"][0]["rates"]
    assert _rates(compared, "agreement")["distilled"] == pytest.approx(0.8)
    assert compared["systems"][0]["speech_ece"] is None


def test_classes_of_a_file(world: World) -> None:
    (world.root / "classes").write_text("mouth AA\nsilence S\n")
    compared = _compare(world, _write(world), phone_classes=world.root / "classes")
    assert compared["frames"]["classes"] == {"mouth": 4, "silence": 1, "other": 5}
    assert compared["frames"]["speech_frames"] == 9
    assert compared["phones"]["unclassed"] == ["SIL", "SPN", "T"]


def _of_another_tree(world: World) -> None:
    model = tiny_model((*PHONES[:-2], "T_E", "Z_B", "S_B"))
    write_labels(world.root / "ali2", model, LABELS)
    World(world.root, model).system("other", None, TEACHER, alignment=world.root / "ali2")


def _of_another_alignment(world: World) -> None:
    write_labels(world.root / "ali2", world.model, {**LABELS, "v": "SIL SIL AA1_E T_E"})
    world.system("other", None, TEACHER, alignment=world.root / "ali2")


def _of_another_set(world: World) -> None:
    write_labels(world.root / "ali2", world.model, {"u": LABELS["u"], "w": LABELS["v"]})
    world.system("other", None, {"u": TEACHER["u"], "w": TEACHER["v"]}, alignment=world.root / "ali2")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_of_another_tree, "frames of different trees can't be compared"),
        (_of_another_alignment, "frames of baseline and other were scored against different alignments"),
        (_of_another_set, r"v is in the frames of baseline, not of other \(2 such\)"),
    ],
)
def test_frames_that_do_not_belong_together(world: World, write: Any, message: str) -> None:
    write(world)
    first = world.system("baseline", None, BASELINE)
    with pytest.raises(MismatchError, match=message):
        _compare(world, [str(first), str(world.root / "eval/other/test")])


def test_alignment_or_model_of_another_kind(world: World) -> None:
    systems = _write(world)
    other = tiny_model(PHONES[:-1])
    other.write(world.root / "tri2")
    with pytest.raises(MismatchError, match="tri2 belongs to tied states"):
        _compare(world, systems, tied_states=world.root / "tri2")
    again = write_labels(world.root / "ali2", world.model, {**LABELS, "v": "SIL SIL AA1_E T_E"})
    with pytest.raises(MismatchError, match="scored against another alignment than"):
        _compare(world, systems, alignment=again)
    fewer = write_labels(world.root / "ali3", world.model, {"u": LABELS["u"]})
    with pytest.raises(MismatchError, match="v of baseline is not in alignment"):
        _compare(world, systems, alignment=fewer)


def test_scores_of_an_older_version(world: World) -> None:
    system = world.system("a", None, BASELINE)
    (system / "frames/predictions.npy").unlink()
    with pytest.raises(DataError, match="Run `asrkd frames` again"):
        _compare(world, [str(system)])


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("u a\nv b\nw c\n", MismatchError, r"a \(.*a\.txt\): hypothesis w has no reference \(1 such\): .*wrong order"),
        ("x a\ny b\n", MismatchError, "no id is shared at all, are both of one set"),
        ("u a\nu b\n", DataError, r"a\.txt:2: u is there twice"),
        ("u a\n\nv b\n", DataError, r"a\.txt:2: expected `utt_id WORDS`, found an empty line"),
        ("", DataError, "is empty"),
        ("u A B\nv B\n", MismatchError, "references are lower case, hypotheses upper case"),
        ("{ a / b } c (u)\nd (v)\n", DataError, r"a\.txt:1: has alternatives"),
        ("a (u)\nb (u)\n", DataError, r"a\.txt:2: u is there twice"),
    ],
)
def test_hypotheses_that_are_refused(world: World, text: str, kind: type[AsrkdError], message: str) -> None:
    (world.root / "a.txt").write_text(text)
    with pytest.raises(kind, match=message):
        _compare(world, [f"{world.root}/a.txt"], phones=False)


def test_a_line_of_a_trn_file_without_an_id(world: World) -> None:
    (world.root / "a.trn").write_text("a (u)\nb c\n")
    with pytest.raises(DataError, match=r"a\.trn:2: expected `WORDS \(utt_id\)`, found 'b c'"):
        _compare(world, [f"{world.root}/a.trn"], phones=False)


def test_options_that_belong_together(world: World) -> None:
    with pytest.raises(ConfigError, match="--alignment and --tied-states go together"):
        Against(alignment=Path("ali"))
    with pytest.raises(ConfigError, match="--phone-classes needs"):
        Against(phone_classes=Path("classes"))
    systems = locate([str(world.system("a", SAID["baseline"]))])
    with pytest.raises(ConfigError, match="--ref is needed to score the words of a"):
        compare(systems, assign_roles(["a"]), Against())


def test_a_member_of_the_baseline_without_frames(world: World) -> None:
    systems = [str(world.system("teacher.1", TEXT, BASELINE)), str(world.system("teacher.2", TEXT))]
    with pytest.raises(ConfigError, match=r"teacher\.2 has no such results as the rest of the baseline"):
        _compare(world, systems)
