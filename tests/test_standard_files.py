"""Workflows, templates, change log, citation, data card and SECURITY.md say what is so."""

import datetime
import re
import tomllib

import pandas as pd
import pytest
from ruamel.yaml import YAML

from shd_corpus import heidelberg, speech
from shd_corpus.class_names import LANGUAGES
from shd_helpers.paths import ROOT
from tests import RESULTS

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
CARD = (ROOT / "docs" / "data_card.md").read_text(encoding="utf-8")
SECURITY = (ROOT / ".github" / "SECURITY.md").read_text(encoding="utf-8")


def load(path):
    """Read a YAML file, in which a key that appears twice is an error."""
    return YAML(typ="safe", pure=True).load(path)


def commands(job):
    """Return the commands of a workflow's job."""
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_do_what_it_needs_and_ends(path):
    workflow = load(path)
    assert workflow["permissions"]["contents"] == "read"
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 180


def test_each_action_is_pinned_by_its_commit_with_the_version_beside_it():
    """A tag can be moved to other code. Dependabot updates hash and version together."""
    pins = {}
    for path in WORKFLOWS:
        for line in re.findall(r"uses: *(.*)", path.read_text(encoding="utf-8")):
            action, commit = re.fullmatch(r"(\S+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+", line).groups()
            assert line == pins.setdefault(action, line), "one action has one version"
            assert len(set(commit)) > 4
    assert "actions/checkout" in pins


def test_the_supported_versions_of_python_are_those_that_are_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    fast, weekly = (load(GITHUB / "workflows" / f"{name}.yml")["jobs"] for name in ("ci", "weekly"))
    for job in (fast["linux"], weekly["newest"]):
        assert job["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"
    contributing = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"Python {named[0]} to {named[-1]} on Linux are supported" in contributing
    assert f"| {', '.join(named)} |" in contributing


def test_a_push_runs_the_fast_tests_and_the_schedule_all_of_them():
    fast, weekly = (load(GITHUB / "workflows" / f"{name}.yml") for name in ("ci", "weekly"))
    assert set(fast["on"]) == {"push", "pull_request"}
    for job in fast["jobs"].values():
        assert [line for line in commands(job) if line.startswith("make ")] == ["make test"]
    assert weekly["on"]["schedule"]
    newest = commands(weekly["jobs"]["newest"])
    assert {"make test", "make slow", "make browser", "make slurm"} <= set(newest)
    locked = [line for line in commands(weekly["jobs"]["locked"]) if line.startswith("make ")]
    assert locked and all("LOCKED=1" in line for line in locked)
    assert not any("LOCKED" in line for line in newest)


def test_the_macos_job_that_nobody_has_seen_pass_says_so():
    job = load(GITHUB / "workflows" / "ci.yml")["jobs"]["macos"]
    contributing = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert job["continue-on-error"] == ("nobody has seen the macOS job pass" in contributing)


def test_updates_cover_actions_and_packages_but_not_the_locked_versions():
    updates = {
        entry["package-ecosystem"]: entry for entry in load(GITHUB / "dependabot.yml")["updates"]
    }
    assert set(updates) == {"github-actions", "pip"}
    assert updates["pip"]["exclude-paths"] == ["constraints.txt"]
    for folder in updates["pip"]["directories"]:
        assert (ROOT / folder.strip("/") / "pyproject.toml").is_file()


def test_issues_have_forms_that_github_can_show():
    forms = {path.stem: load(path) for path in FORMS if path.stem != "config"}
    assert set(forms) == {"bug", "question", "not_reproduced"}
    for form in forms.values():
        assert form["name"] and form["description"]
        fields = [item for item in form["body"] if item["type"] != "markdown"]
        names = [item["id"] for item in fields]
        assert len(set(names)) == len(names)
        assert all(item["attributes"]["label"] for item in fields)


def test_links_of_the_pull_request_template_lead_somewhere():
    path = GITHUB / "pull_request_template.md"
    links = re.findall(r"\]\((?!http)([^)#]*)", path.read_text(encoding="utf-8"))
    assert links and all((path.parent / link).exists() for link in links)


def test_the_changelog_is_newest_first_and_short():
    unfinished, *milestones = re.findall(r"^## (.*)$", CHANGELOG, re.M)
    assert unfinished == "Unreleased"
    dates = []
    for title in milestones:
        date, _, _ = re.fullmatch(r"(\d{4}-\d\d-\d\d), (.+) \(([0-9a-f]{7})\)", title).groups()
        dates.append(datetime.date.fromisoformat(date))
    assert dates == sorted(dates, reverse=True)
    assert set(re.findall(r"^### (.*)$", CHANGELOG, re.M)) <= {
        "Added",
        "Changed",
        "Fixed",
        "Removed",
    }


@pytest.mark.parametrize("name", ["CHANGELOG", ".github/CONTRIBUTING", ".github/SECURITY"])
def test_a_page_is_short_and_names_no_machine(name):
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 160
    assert not re.search(r"(?<![\w.:/])/(home|root|Users|work)/", text)


def test_the_version_is_written_in_one_place():
    """The citation has none: it names the commit, because there are no releases."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("\n[project.")[0]
    package = (ROOT / "shd_helpers" / "__init__.py").read_text(encoding="utf-8")
    assert len(re.findall(r'^(?:version|__version__) = "', project + package, re.M)) == 1
    assert "version" not in load(ROOT / "CITATION.cff")


def test_the_citation_has_what_the_format_demands():
    citation = load(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "license"} <= set(citation)
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert citation["license"] == "MIT"
    (paper,) = citation["references"]
    assert paper["doi"] in CARD


def test_the_data_card_counts_the_utterances_of_hd():
    """Each speaker was held out once, so the committed predictions name all utterances."""
    rows = pd.read_csv(RESULTS / "final_hd_predictions.csv.gz", keep_default_na=False)
    rows = rows[~rows.seen].drop_duplicates(["file", "row"])
    is_german = rows.label.isin(LANGUAGES["german"])
    for speaker in range(12):
        counts = []
        for file in ("train", "test"):
            chosen = (rows.speaker == speaker) & (rows.file == file)
            counts += [(chosen & ~is_german).sum(), (chosen & is_german).sum()]
        line = " | ".join(str(number) for number in (speaker, *counts))
        assert f"\n| {line} |\n" in CARD
    in_files = rows.file.value_counts()
    assert [in_files["train"], in_files["test"]] == list(heidelberg.LISTS.values())
    of_class = rows.groupby(["file", "label"]).size()
    train = of_class["train"]
    test = of_class["test"]
    assert f"between {train.min()} and {train.max()} training utterances each" in CARD
    assert f"between {test.min()} and {test.max()} test utterances" in CARD


def test_the_data_card_counts_the_utterances_of_spoken():
    n_unseen = len(speech.TEST_SPEAKERS)
    n_seen = len(speech.SPEAKERS) - n_unseen
    unseen = 10 * n_unseen * speech.TAKES["unseen_test_takes"]
    test = 10 * n_seen * speech.TAKES["seen_test_takes"] + unseen
    train = 10 * n_seen * speech.TAKES["train_takes"]
    n_train, n_test = heidelberg.LISTS.values()
    assert f"| training file | {n_train} utterances | {train} |" in CARD
    assert f"| test file | {n_test} utterances | {test} |" in CARD
    assert f"The test file's {test} utterances include {unseen} by unseen voices." in CARD
    genders = [gender for _, _, gender in speech.SPEAKERS]
    accents = {accent for accent, _, _ in speech.SPEAKERS}
    assert genders.count("male") == genders.count("female") == 6 and len(accents) == 8


def test_security_counts_the_committed_attacks():
    table = pd.read_csv(RESULTS / "attacks.csv")
    assert f"by {len(table)} kinds of attack" in SECURITY
    for end in ("completed", "refused", "unclear", "hung", "lost"):
        assert re.search(rf"^\| {end} \| .* \| {table[end].sum()} \|$", SECURITY, re.M), end
    bad = table[["unclear", "hung", "lost"]].to_numpy().sum()
    assert bad == 0 and f"Zero of {table.attempts.sum()} attempts" in SECURITY
