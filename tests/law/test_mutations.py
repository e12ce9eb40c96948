"""The law would notice: each of these deliberate faults, in a copy of the code, breaks it."""

import asyncio
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.command import Finished, finish
from tests.law.hunt import BEGUN

HOUSE = Path(__file__).parents[2]
COPIED = ("daemon", "dataplane", "runtime", "tests/fakes", "tests/law")
WITHIN = 240.0


@dataclass(frozen=True)
class Mutation:
    """One fault: `old` in `file`, where it stands exactly once, becomes `new`; `checks` are tests.law.hunt's."""

    fault: str
    file: str
    old: str
    new: str
    checks: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "undo only the steps that told `done`",
        "daemon/engine.py",
        'if not placed.step.undo or story.has("undone", placed.key):',
        'if not placed.step.undo or story.has("undone", placed.key) or not story.has("done", placed.key):',
        ("cut:replace a writer",),
    ),
    Mutation(
        "undo in the order of doing",
        "daemon/engine.py",
        "groups = list(reversed(way.before))",
        "groups = list(way.before)",
        ("cut:replace a writer",),
    ),
    Mutation(
        "stop undoing after the first undo that fails",
        "daemon/engine.py",
        "problems += [said for said in told if said]\n",
        "problems += [said for said in told if said]\n            if problems:\n                break\n",
        ("an_undo_that_fails_stops_no_other_and_is_told",),
    ),
    Mutation(
        "mask an undo that fails",
        "daemon/engine.py",
        'return f"{placed.step.says}: {reason(failure)}"',
        'return ""',
        ("an_undo_that_fails_stops_no_other_and_is_told",),
    ),
    Mutation(
        "go back, without settling, when the commit got no answer",
        "daemon/engine.py",
        'if not story.has("committing"):\n            return False',
        'if not story.has("committed"):\n            return False',
        ("cut:replace a writer",),
    ),
    Mutation(
        "take what was to be committed for committed",
        "daemon/engine.py",
        'if story.has("committed"):\n            return True',
        'if story.has("committing"):\n            return True',
        ("cut:replace a writer",),
    ),
    Mutation(
        "commit although it cannot be written down",
        "daemon/engine.py",
        'story.tell("committing"',
        'story.note("committing"',
        ("full:replace a writer",),
    ),
    Mutation(
        "go back only as far as it can be written down",
        "daemon/engine.py",
        'story.note("undoing"',
        'story.tell("undoing"',
        ("full:replace a writer",),
    ),
    Mutation(
        "write down that it commits only afterwards",
        "daemon/engine.py",
        'story.tell("committing", way.commit.says)\n                await way.commit.do()',
        'await way.commit.do()\n                story.tell("committing", way.commit.says)',
        ("cut:replace a writer",),
    ),
    Mutation(
        "write a step down only once it is done",
        "daemon/engine.py",
        '                tell("doing", placed.key)\n',
        "",
        ("cut:replace a writer",),
    ),
    Mutation(
        "a cancellation is not a failure",
        "daemon/engine.py",
        "            raise\n        except (Exception, CancelledError) as failure:",
        "            raise\n        except Exception as failure:",
        ("cut:replace a writer",),
    ),
    Mutation(
        "answer without verifying",
        "daemon/changing/outcome.py",
        "    await confirm_instances(change, node)\n    await _confirm_generations(change, node)\n",
        "",
        ("an_instance_that_dies_after_the_commit_is_told",),
    ),
    Mutation(
        "settle only looks, and does not win the record",
        "daemon/store.py",
        "return None if _is_by(now, by) else structs.replace(now or Namespace(), settled=by)",
        "return None",
        ("late:replace a writer",),
    ),
    Mutation(
        "commit over whatever revision there is, not the token's",
        "daemon/store.py",
        "to(now or Namespace()), token.revision)",
        "to(now or Namespace()), revision)",
        ("one_that_was_fenced_never_commits",),
    ),
    Mutation(
        "the commit drops the claims",
        "daemon/store.py",
        "structs.replace(now, head=head, by=by,",
        "structs.replace(now, claims=(), head=head, by=by,",
        ("cut:replace a writer",),
    ),
    Mutation(
        "let a name go without winning its record",
        "daemon/changing/names.py",
        "await node.records.release(name.kind, name.what, namespace, by)",
        "await node.records.release(name.kind, name.what, namespace)",
        ("late:create",),
    ),
    Mutation(
        "no claim at all",
        "daemon/undertaking.py",
        "tokens = await contention.take(wanted, claim, how.wait)",
        "tokens = {}",
        ("cut:replace a writer",),
    ),
    Mutation(
        "free the claims before the steps are undone",
        "daemon/undertaking.py",
        "            result = await effort\n",
        "            await self._let_go(list(story.heading.claims))\n            result = await effort\n",
        ("cut:replace a writer",),
    ),
    Mutation(
        "never free the claims",
        "daemon/undertaking.py",
        "failure)\n        await self._let_go(list(story.heading.claims))",
        "failure)",
        ("cut:create",),
    ),
    Mutation(
        "the steps go before the record is written",
        "daemon/undertaking.py",
        "await self.means.store.begin(record_of(story.heading, self.means.machine))",
        "pass",
        ("cut:create",),
    ),
    Mutation(
        "take another's claim away without resolving what it did",
        "daemon/contention.py",
        "if not await self.holders.resolve(holder.operation):",
        "if not holder.operation:",
        ("whoever_comes_next_resolves_first",),
    ),
    Mutation(
        "take an operation whose journal is lost for one that did nothing",
        "daemon/operations.py",
        "        story = story or await self._from_record(id)\n",
        "",
        ("a_lost_journal_is_made_up_from_the_record",),
    ),
    Mutation(
        "take a lost journal for one that never came to its commit",
        "daemon/operations.py",
        '"committing", why="the journal was lost; this story begins with the record")',
        '"planned")',
        ("a_lost_journal_is_made_up_from_the_record",),
    ),
    Mutation(
        "take back what another made",
        "dataplane/zfs.py",
        "_require_ours(found[name], by)\n            await self._remove(name)",
        "await self._remove(name)",
        ("a_dataset_of_another_operation_in_the_way_is_left_alone",),
    ),
    Mutation(
        "do not start the old writer again",
        "daemon/changing/instances.py",
        "if old.was_up:",
        "if not old.was_up:",
        ("cut:replace a writer",),
    ),
    Mutation(
        "leave the candidates' view when going back",
        "daemon/changing/serving.py",
        "undo=lambda: node.serving.drop(change.operation),",
        "undo=None,",
        ("cut:replace a stateless service",),
    ),
    Mutation(
        "snapshot before the writer has stopped",
        "daemon/changing/__init__.py",
        "        *_group(stopping),\n        *_some(change.snapshot, data.snapshot(change, change.snapshot, node)),\n",
        "        *_some(change.snapshot, data.snapshot(change, change.snapshot, node)),\n        *_group(stopping),\n",
        ("no_row_that_a_client_was_promised_is_lost",),
    ),
    Mutation(
        "send everybody to the candidates before the commit",
        "daemon/projection.py",
        "return Maps(committed, members, published)",
        "return Maps(committed | {at: targets for (_, at), targets in members.items() if targets}, members, published)",
        ("no_row_that_a_client_was_promised_is_lost",),
    ),
    Mutation(
        "give an instance the files of the deploy before",
        "daemon/changing/instances.py",
        "files = contents(change.after, candidate.files)",
        "files = contents(change.before or change.after, candidate.files)",
        ("cut:a file that changes",),
    ),
    Mutation(
        "forget that a port was taken",
        "daemon/planning/names.py",
        "return _sorted((held(after) - held(before)) | {",
        "return _sorted({name for name in held(after) - held(before) if name.kind != 'port'} | {",
        ("cut:a file that changes",),
    ),
    Mutation(
        "promote a generation only once",
        "daemon/lineage.py",
        "    while now and",
        "    if now and",
        ("cut:undo a rollback",),
    ),
    Mutation(
        "keep every generation for ever",
        "daemon/lineage.py",
        "        await datasets.destroy(name)\n",
        "        pass\n",
        ("cut:replace a writer",),
    ),
    Mutation(
        "prune generations that still hold snapshots",
        "daemon/lineage.py",
        "for one in without_snapshots(below) if",
        "for one in below if",
        ("cut:roll back code and schema",),
    ),
    Mutation(
        "forget before the commit",
        "daemon/changing/__init__.py",
        "        Commit(\n",
        "        *_some(change.forgets, data.forget(change, node)),\n        Commit(\n",
        ("cut:a deploy that forgets",),
    ),
    Mutation(
        "free what a remaining point names",
        "daemon/changing/data.py",
        "doomed - needed)",
        "doomed | needed)",
        ("cut:a deploy that forgets",),
    ),
    Mutation(
        "forget the points and free nothing",
        "daemon/lineage.py",
        "            await datasets.destroy(dataset)\n",
        "            return\n",
        ("cut:a deploy that forgets",),
    ),
    Mutation(
        "promote nobody who is in the way",
        "daemon/lineage.py",
        "return Freeing(promote=next(_in_the_way(there, within, doomed), None))",
        "return Freeing()",
        ("a_branch_keeps_its_data_when_its_source_is_purged",),
    ),
    Mutation(
        "keep one deploy point more than asked for",
        "daemon/planning/__init__.py",
        "return tuple(numbers[: -wanted.keep])",
        "return tuple(numbers[: -wanted.keep - 1])",
        ("a_point_beyond_keep_is_gone",),
    ),
    Mutation(
        "commit an empty head instead of a tombstone",
        "daemon/change.py",
        "return None if self.removes else self.after",
        "return self.after",
        ("what_was_removed_is_there_no_more",),
    ),
    Mutation(
        "leave the replaced generation mounted and current",
        "daemon/lineage.py",
        "    if old in {one.name for one in below} - set(needless):\n",
        "    if not old:\n",
        ("cut:roll back code and schema",),
    ),
    Mutation(
        "after a boot, start a writer on whatever is there",
        "daemon/booting.py",
        "            await self._require_current(name, volume)\n",
        "",
        ("a_generation_that_is_not_the_committed_one_is_not_started_after_a_boot",),
    ),
    Mutation(
        "after a boot, go on with an operation before what is committed runs",
        "daemon/engine.py",
        "        await self._tell_decided(story)\n",
        "",
        ("what_a_power_cut_leaves_open_ends_as_before_or_as_after",),
    ),
    Mutation(
        "forget that a boot was dealt with",
        "daemon/booting.py",
        "        self._write(Note(pending, {**self.note.reasons, **failed}))\n",
        "",
        ("what_somebody_stopped_after_a_boot_is_left_alone",),
    ),
    Mutation(
        "keep the instance that ran a command",
        "daemon/engine.py",
        "            problems = await self._take_back(story, way)\n        except",
        "            problems: list[str] = []\n        except",
        ("a_run_leaves_nothing_wherever_it_is_cut",),
    ),
    Mutation(
        "take an import back without the snapshot that it came with",
        "daemon/primitives/volume_import.py",
        '    await take_back(f"{plan.dataset}@{plan.operation}", plan.operation, node)\n',
        "",
        ("cut:import",),
    ),
    Mutation(
        "destroy before the purge is committed",
        "daemon/primitives/volume_purge.py",
        """        commit(plan, f"commit the purge of {plan.what}", node),
        *inherited,
        Step(f"destroy {plan.what}", partial(_destroy, plan, node)),
""",
        """        *inherited,
        Step(f"destroy {plan.what}", partial(_destroy, plan, node)),
        commit(plan, f"commit the purge of {plan.what}", node),
""",
        ("cut:purge a named snapshot",),
    ),
    Mutation(
        "leave the snapshot of an export",
        "daemon/primitives/volume_export.py",
        "    return [taking_back(name, plan, node) for name in made]",
        "    return []",
        ("cut:export",),
    ),
    Mutation(
        "forget versions that deploy points still name",
        "daemon/planning/secrets.py",
        "*(point.head for point in points)]",
        "*(point.head for point in ())]",
        ("cut:remove a secret that was seen",),
    ),
    Mutation(
        "leave the secrets of a candidate that is taken back",
        "daemon/changing/instances.py",
        "    await node.vault.take_back(id, by)\n",
        "",
        ("cut:see a secret",),
    ),
    Mutation(
        "take a version back without winning its record",
        "daemon/primitives/secret_set.py",
        "records.forget_version(*where, plan.operation)",
        "records.forget_version(*where)",
        ("late:set a secret",),
    ),
    Mutation(
        "write the value of a secret down",
        "daemon/confidential.py",
        'told["value"] = {"fingerprint": fingerprint(request.value)}',
        "pass",
        ("no_value_is_ever_written_down",),
    ),
    Mutation(
        "settling a login only looks",
        "daemon/store.py",
        "return None if now and now.by == by else structs.replace(now or Registry(), settled=by)",
        "return None",
        ("late:log in to a registry",),
    ),
)


def copied(to: Path) -> None:
    """The code and its law, without what Python compiled of it: a copy's time may be that of its original."""
    for folder in COPIED:
        shutil.copytree(HOUSE / folder, to / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (to / "tests/__init__.py").touch()


def hunted(house: Path, checks: tuple[str, ...]) -> Finished:
    within = ("env", "-C", str(house), f"PYTHONPATH={house}")
    hunt = (sys.executable, "-B", "-m", "tests.law.hunt", *checks)
    return asyncio.run(finish(*within, *hunt, within=WITHIN, may_exit=(0, 1)))


def test_the_copy_as_it_is_keeps_the_law(tmp_path: Path) -> None:
    copied(tmp_path)
    checks = {check for mutation in MUTATIONS for check in mutation.checks}
    ended = hunted(tmp_path, tuple(sorted(checks)))
    assert ended.code == 0, ended.out + ended.error


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.fault)
def test_the_law_catches(tmp_path: Path, mutation: Mutation) -> None:
    copied(tmp_path)
    file = tmp_path / mutation.file
    source = file.read_text()
    assert source.count(mutation.old) == 1, f"{mutation.file} does not say this once any more: mend the mutation"
    file.write_text(source.replace(mutation.old, mutation.new))
    ended = hunted(tmp_path, mutation.checks)
    assert ended.out.startswith(BEGUN), f"the mutant does not even begin: {ended.error}"
    assert ended.code != 0, f"the law does not notice: {ended}"
