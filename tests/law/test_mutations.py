"""The law would notice: each of these deliberate faults breaks it."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.command import Finished, finish
from tests.law.hunt import BEGUN

HOUSE = Path(__file__).parents[2]
WITHIN = 240.0


@dataclass(frozen=True)
class Mutation:
    """One fault: `old` in `file`, where it stands exactly once, becomes `new`; `checks` are tests.law.hunt's."""

    fault: str
    file: str
    old: str
    new: str
    checks: tuple[str, ...]


LIVES = tuple(f"life:{seed}" for seed in range(36))

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
        '                tell("doing", placed.key, machine=placed.machine)\n',
        "",
        ("cut:replace a writer",),
    ),
    Mutation(
        "a cancellation is not a failure",
        "daemon/engine.py",
        "            raise\n        except (Exception, CancelledError) as failure:",
        "            raise\n        except Exception as failure:",
        ("CancelledError:replace a writer",),
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
        "return None if _is_by(now, by) else structs.replace(now or shape(), settled=by)",
        "return None",
        ("late:replace a writer",),
    ),
    Mutation(
        "commit over whatever revision there is, not the token's",
        "daemon/store.py",
        "to(now or shape()), token.revision)",
        "to(now or shape()), revision)",
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
        "await node.records.let_go(name.kind, name.what, namespace, by)",
        ("late:create",),
    ),
    Mutation(
        "no claim at all",
        "daemon/undertaking.py",
        "tokens = await contention.take(wanted, claim, how)",
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
        "            await self._let_go(list(story.heading.claims))\n",
        "",
        ("cut:create",),
    ),
    Mutation(
        "the steps go before the record is written",
        "daemon/undertaking.py",
        "await self.means.store.begin(record_of(story, self.means.machine))",
        "pass",
        ("cut:create",),
    ),
    Mutation(
        "take another's claim away without resolving what it did",
        "daemon/contention.py",
        "match await self._fate(namespace, claim, answer, take_over=take_over):",
        'match "over":',
        ("whoever_comes_next_resolves_first",),
    ),
    Mutation(
        "take an operation whose journal is lost for one that did nothing",
        "daemon/operations.py",
        "if not record or record.ending or record.machine != self.means.machine:",
        "if record:",
        ("a_lost_journal_is_made_up_from_the_record",),
    ),
    Mutation(
        "take a lost journal for one that never came to its commit",
        "daemon/taking_over.py",
        'first = Event(id, means.now(), "committing", why=why)',
        'first = Event(id, means.now(), "planned", why=why)',
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
        "        *grouped(stopping),\n        *grouped(snapshots),\n",
        "        *grouped(snapshots),\n        *grouped(stopping),\n",
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
        "take a kept generation for empty whose snapshots somebody destroyed",
        "daemon/lineage.py",
        "if one.origin and not",
        "if not",
        ("where_common_snapshots_are_gone_all_is_sent_beside_what_is_there",),
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
        "daemon/lineage.py",
        "all_doomed = {*doomed} - {*needed}",
        "all_doomed = {*doomed}",
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
        "chain(_in_the_way(there, doomed), _dependent(there))",
        "_dependent(there)",
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
        "begin the epochs of a volume that comes back again",
        "daemon/store.py",
        "epochs=now.epochs | replaced,",
        "epochs=now.epochs,",
        ("cut:deploy anew",),
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
        "    if old in there.keys() - set(needless):\n",
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
        Step(f"destroy {plan.what}", partial(_destroy, plan, node), bytes=plan.bytes, machine=plan.machine),
""",
        """        *inherited,
        Step(f"destroy {plan.what}", partial(_destroy, plan, node), bytes=plan.bytes, machine=plan.machine),
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
        "else []), *past]",
        "else [])]",
        ("cut:remove a secret that was seen",),
    ),
    Mutation(
        "forget deploy points, and keep the versions that only they named",
        "daemon/planning/__init__.py",
        "tidies=tuple(sorted(record.secrets)) if forgets else (),",
        "",
        ("cut:a deploy that forgets a version",),
    ),
    Mutation(
        "purge a namespace, and leave it its secrets",
        "daemon/primitives/namespace_rm.py",
        "Newest(version, removed=True)",
        "Newest(version)",
        ("cut:remove and purge what has secrets",),
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
        'told["value"] = {"fingerprint": fingerprint(value)}',
        "pass",
        ("no_value_is_ever_written_down",),
    ),
    Mutation(
        "write what is sealed down with the plan",
        "daemon/confidential.py",
        'del told["sealed"]["ciphertext"]',
        "pass",
        ("what_is_sealed_is_in_its_own_record_only",),
    ),
    Mutation(
        "let writers go on before the snapshots",
        "daemon/changing/__init__.py",
        "return [*grouped(pausing), *copied, *grouped(going_on)]",
        "return [*grouped(pausing), *grouped(going_on), *copied]",
        ("nobody_writes_while_what_is_copied_is_snapshotted",),
    ),
    Mutation(
        "leave writers standing when a branch is taken back",
        "daemon/changing/instances.py",
        "return Step(PAUSE, standing, going_on, restores=True, machine=node.machine)",
        "return Step(PAUSE, standing, machine=node.machine)",
        ("cut:branch while writers stand still",),
    ),
    Mutation(
        "let a branch's data be reached as it is",
        "daemon/branching.py",
        "else s.hooks.on_branch for n, s in services}",
        "else () for n, s in services}",
        ("a_branch_is_scrubbed_and_its_source_is_not",),
    ),
    Mutation(
        "let somebody of a branch see its data before it is scrubbed",
        "daemon/planning/instances.py",
        "return {name: before if name in needed else before | first for name, before in order.items()}",
        "return dict(order)",
        ("nobody_of_a_branch_begins_before_it_is_scrubbed_but_who_is_needed_for_that",),
    ),
    Mutation(
        "leave the source's snapshot when a branch is taken back",
        "daemon/changing/data.py",
        'await _take_back(f"{dataset}@{change.operation}", change.operation, node)',
        "pass",
        ("cut:branch",),
    ),
    Mutation(
        "give a branch all secrets of its source",
        "daemon/planning/secrets.py",
        "_require_none(seen - allowed, source, manifest, cannot)",
        "pass",
        ("a_branch_sees_its_sources_secret_only_where_the_manifest_gives_it",),
    ),
    Mutation(
        "take what a branch was given for its own",
        "daemon/primitives/branch.py",
        "Newest(carried.version, carried=True)",
        "Newest(carried.version)",
        ("a_branch_sees_its_sources_secret_only_where_the_manifest_gives_it",),
    ),
    Mutation(
        "give a branch a secret without winning its record when it is taken back",
        "daemon/changing/secrets.py",
        "lambda: node.records.forget_version(*at, change.operation),",
        "lambda: node.records.forget_version(*at),",
        ("late:branch with a secret",),
    ),
    Mutation(
        "leave the secrets of what is purged",
        "daemon/primitives/namespace_rm.py",
        "tidies=tuple(sorted(record.secrets)) if ask.purge else (),",
        "",
        ("what_was_set_for_a_branch_is_its_own_and_a_promote_takes_no_secret_along",),
    ),
    Mutation(
        "promote the target's data to itself",
        "daemon/primitives/promote.py",
        "data=data,",
        "data={},",
        ("a_promote_takes_code_and_where_it_is_asked_data_and_leaves_the_rest",),
    ),
    Mutation(
        "give the target the routes of what is promoted",
        "daemon/primitives/promote.py",
        "return replace(target, services=services, files=source.files)",
        "return replace(source, services=source.services)",
        ("cut:promote",),
    ),
    Mutation(
        "restore any snapshot of the volume that has a name",
        "daemon/volumes/__init__.py",
        'wanted = {"name": name, "namespace": namespace, "volume": volume}.items()',
        'wanted = {"namespace": namespace, "volume": volume}.items()',
        LIVES,
    ),
    Mutation(
        "let a volume that was restored descend from what is kept of its own",
        "daemon/volumes/cloning.py",
        "*([] if is_first(plan.marks) else [owning]),",
        "",
        ("cut:restore a volume that was removed",),
    ),
    Mutation(
        "look for a deploy point's snapshots in its own namespace only",
        "daemon/seeing.py",
        "found[machine] = await _snapshots(node.at(machine))",
        "found[machine] = {guid: name for guid, name in (await _snapshots(node.at(machine))).items()"
        ' if f"/{point.head.namespace}/" in name}',
        LIVES,
    ),
    Mutation(
        "leave what a purged namespace could not give up",
        "daemon/changing/data.py",
        "for name in {namespace, *purged}]",
        "for name in {namespace}]",
        LIVES,
    ),
    Mutation(
        "let a current generation descend from what is kept of its volume",
        "daemon/lineage.py",
        ", _dependent(there)), None",
        "), None",
        LIVES,
    ),
    Mutation(
        "settling a login only looks",
        "daemon/registry_records.py",
        "return None if now and now.by == by else structs.replace(now or Registry(), settled=by)",
        "return None",
        ("late:log in to a registry",),
    ),
    Mutation(
        "do what somebody asks who was taken over from",
        "daemon/peers/participant.py",
        "if older or part.turn < guest.entry.turn:",
        "if False:",
        ("whoever_was_taken_over_does_nothing_more",),
    ),
    Mutation(
        "let go on what is done for an earlier turn",
        "daemon/peers/participant.py",
        "if part.turn > guest.alone:",
        "if False:",
        ("whoever_answers_again_ends_its_own_part_first",),
    ),
    Mutation(
        "take over without telling anybody",
        "daemon/taking_over.py",
        "if missing := await means.others.fence(id, Part(changing, Turn(record.term, 0))):",
        "if missing := list[str]():",
        ("whoever_was_taken_over_does_nothing_more",),
    ),
    Mutation(
        "take over without a new term",
        "daemon/operation_records.py",
        "machine=machine, term=now.term + 1)",
        "machine=machine)",
        ("whoever_was_taken_over_says_no_ending",),
    ),
    Mutation(
        "begin a step of an operation that was taken over",
        "daemon/taking_over.py",
        "return record is None or record.term == story.heading.term",
        "return True",
        ("whoever_was_taken_over_does_nothing_more",),
    ),
    Mutation(
        "reserve again what was taken back",
        "daemon/store.py",
        "if now and now.settled == by:",
        "if False:",
        ("taken:create on three machines",),
    ),
    Mutation(
        "seal a secret for the machine alone where it was set",
        "daemon/primitives/secret_set.py",
        "Sealed(node.vault.seal(ask.value, keys), keys",
        "Sealed(node.vault.seal(ask.value), keys",
        ("cut:see a secret on other machines",),
    ),
    Mutation(
        "take over a move of the store as it is",
        "daemon/taking_over.py",
        "        await _released(before, means)",
        "        pass",
        ("moved:the records go to three",),
    ),
    Mutation(
        "go over to a new store that was never committed",
        "daemon/primitives/store_move.py",
        "    if await (node.moves.settle(plan.move, plan.operation) if keeps else way.settle()):",
        "    if True:",
        ("moved:the records go to three",),
    ),
    Mutation(
        "leave a store sealed that was sealed too late",
        "daemon/primitives/store_move.py",
        "if not (await self.node.members.cluster()).closed:",
        "if False:",
        ("moved:the records go to three",),
    ),
    Mutation(
        "write a secret again that was taken back",
        "daemon/store.py",
        "if now and now.operation == by and not now.ciphertext:",
        "if False:",
        ("taken:set a secret from afar",),
    ),
    Mutation(
        "write a secret over what came after",
        "daemon/store.py",
        "            if not now or not _has_claim(now, by):\n",
        "            if False:\n",
        ("whoever_wants_the_namespace_takes_over",),
    ),
    Mutation(
        "free the claims of what another machine carries on",
        "daemon/operation_records.py",
        "ours = now is None or (now.term == ended.term and now.ending != ended.ending)",
        "ours = now is None or now.ending != ended.ending",
        ("whoever_was_taken_over_says_no_ending",),
    ),
    Mutation(
        "send the last of a volume before its writer has stopped",
        "daemon/migrating/steps.py",
        "        *grouped([instances.stop(old, node.at(old.machine)) for old in change.stops]),\n"
        "        *grouped([finish(move, change.stops, node, by) for move in moves]),\n",
        "        *grouped([finish(move, change.stops, node, by) for move in moves]),\n"
        "        *grouped([instances.stop(old, node.at(old.machine)) for old in change.stops]),\n",
        ("no_row_is_lost_on_the_way",),
    ),
    Mutation(
        "remove what came to a machine although its source has gone",
        "daemon/sending.py",
        "confirm(source and source.guid == way.guid, ",
        "confirm(True, ",
        ("what_came_stays_where_its_source_has_gone",),
    ),
    Mutation(
        "give nothing back of what a volume began as",
        "daemon/sending.py",
        "        await _give_back(way, datasets)\n",
        "",
        ("cut:move a database back",),
    ),
    Mutation(
        "leave what deploy points need behind",
        "daemon/migrating/planning.py",
        'if one.guid in needed or "name" in one.marks',
        'if "name" in one.marks',
        ("a_point_of_before_is_rolled_back_to_without_the_machine_that_it_was_on",),
    ),
    Mutation(
        "leave what a rollback left behind",
        "daemon/migrating/planning.py",
        "        past=older.ways,\n",
        "",
        ("what_a_rollback_left_goes_along",),
    ),
    Mutation(
        "go on in the epoch of before",
        "daemon/migrating/planning.py",
        "epoch=record.next_epoch(name)",
        "epoch=before.volumes[name].epoch",
        ("to_and_fro_leaves_one_generation_each_and_what_they_have_in_common",),
    ),
    Mutation(
        "begin with nothing where something is in common",
        "daemon/migrating/planning.py",
        "base, namespace, names = common(ends.line, ends.there),",
        "base, namespace, names = None,",
        ("to_and_fro_leaves_one_generation_each_and_what_they_have_in_common",),
    ),
    Mutation(
        "leave the snapshots of all rounds",
        "daemon/migrating/steps.py",
        "for one in (*taken[:-1], *needless):",
        "for one in needless:",
        ("to_and_fro_leaves_one_generation_each_and_what_they_have_in_common",),
    ),
    Mutation(
        "leave the generation that a volume came from as it was",
        "daemon/migrating/steps.py",
        "        await lineage.retire(source.datasets, way.source)\n",
        "",
        ("to_and_fro_leaves_one_generation_each_and_what_they_have_in_common",),
    ),
    Mutation(
        "free what two machines have in common",
        "daemon/lineage.py",
        ' and snapshot.marks.get("state") != BASE',
        "",
        ("what_two_machines_have_in_common_outlives_deploys_that_forget",),
    ),
    Mutation(
        "remove a machine with data that nobody else has",
        "daemon/primitives/machine_rm.py",
        "    require_accepted(await losses(name, node, there), ask, cannot)\n",
        "",
        ("what_is_kept_there_alone_keeps_it_until_it_is_accepted",),
    ),
    Mutation(
        "count what only a machine that is gone has as there",
        "daemon/volumes/losses.py",
        "    others = {name: pool for name, pool in pools.items() if name != machine}\n",
        "    others = dict(pools)\n",
        ("what_is_kept_there_alone_keeps_it_until_it_is_accepted",),
    ),
    Mutation(
        "let a lost volume go without a word",
        "daemon/keepers.py",
        '        require_accepted(found, request, f"cannot remove {request.machine}")\n',
        "",
        ("what_only_a_lost_machine_had_is_named_before_anything_is_done",),
    ),
    Mutation(
        "go on from what is left in the epoch of what is lost",
        "daemon/volumes/forgoing.py",
        "epochs[one.name]\n",
        "old.epoch\n",
        ("what_was_left_elsewhere_is_what_it_goes_on_from",),
    ),
    Mutation(
        "go on from nothing where something is left",
        "daemon/volumes/losses.py",
        'return own and "operation" in dataset.marks and',
        "return False and",
        ("what_was_left_elsewhere_is_what_it_goes_on_from",),
    ),
    Mutation(
        "leave a store sealed that nobody moves",
        "daemon/contention.py",
        'if refused.code == "store.closed" and await self.reopened():',
        'if refused.code == "store.moves" and await self.reopened():',
        ("a_seal_that_comes_after_its_move_was_taken_back_is_broken_by_who_meets_it",),
    ),
    Mutation(
        "break the seal of a store that is being moved",
        "daemon/closing.py",
        "if await node.moves.sealed() and not (await node.members.cluster()).closed:",
        "if await node.moves.sealed():",
        ("who_meets_a_store_that_is_being_moved_leaves_it_sealed",),
    ),
    Mutation(
        "do on this machine what another one planned for itself",
        "daemon/engine.py",
        "return replace(node.at(planned_on or node.machine), mesh=node.mesh)",
        "return node",
        ("taken:import on one of three machines",),
    ),
    Mutation(
        "adopt what no snapshot holds",
        "daemon/volumes/adopting.py",
        "        await datasets.snapshot([one.dataset], one.snapshot, by)\n",
        "",
        ("what_it_brings_is_adopted",),
    ),
    Mutation(
        "have what a machine ran before run on in the mesh",
        "daemon/primitives/join.py",
        "        *grouped([remove(instance, node) for instance in plan.instances]),\n",
        "",
        ("what_it_brings_is_adopted",),
    ),
    Mutation(
        "free what was adopted",
        "daemon/changing/data.py",
        " | lineage.adopted(below)",
        "",
        ("nothing_of_it_goes_with_what_is_done_later",),
    ),
    Mutation(
        "let what is restored take the snapshots of what was adopted",
        "daemon/lineage.py",
        ' and ancestor.marks.get("state") != ADOPTED:',
        ":",
        ("what_was_adopted_is_restored_and_purged_like_others",),
    ),
    Mutation(
        "go on from the oldest that is left",
        "daemon/volumes/losses.py",
        "= max(found, key=",
        "= min(found, key=",
        ("the_newest_of_what_is_left_is_what_it_goes_on_from",),
    ),
    Mutation(
        "free what a copy is of",
        "daemon/changing/data.py",
        "return lineage.in_common(bases, has)",
        "return set()",
        ("what_a_copy_begins_as_outlives_what_forgets_and_what_goes_back",),
    ),
    Mutation(
        "purge what the next copy begins as",
        "daemon/primitives/volume_purge.py",
        "    needed = needs.merged(points, copies.needed(there.machine, [head] if head else [], pools))\n",
        "    needed = points\n",
        ("what_a_copy_begins_as_is_not_purged_and_goes_with_the_copy",),
    ),
    Mutation(
        "leave the copy of before a copy",
        "daemon/lineage.py",
        "            await retire(datasets, one.name)\n",
        "            pass\n",
        ("where_the_common_snapshot_is_gone_all_is_sent_again",),
    ),
    Mutation(
        "begin each copy with nothing",
        "daemon/lineage.py",
        'in ("kept", COPY)\n\n\n',
        'in ("kept",)\n\n\n',
        ("a_refresh_sends_what_changed_and_leaves_nothing_else_behind",),
    ),
    Mutation(
        "remove what had come from a machine that is lost",
        "daemon/sending.py",
        "and await _leave(way, node, by, left):",
        "and False:",
        ("what_was_on_its_way_is_what_it_goes_on_from",),
    ),
    Mutation(
        "wait for a machine that is lost",
        "daemon/engine.py",
        "return await is_lost(placed.machine, self.node.members)",
        "return False",
        ("what_was_on_its_way_is_what_it_goes_on_from",),
    ),
    Mutation(
        "remove what an open operation has borrowed from",
        "daemon/lineage.py",
        " and not _is_lent(there, one)]",
        "]",
        ("what_a_refresh_has_borrowed_is_left_alone",),
    ),
)


SOUND = Mutation(
    "none",
    "daemon/engine.py",
    "class Engine",
    "class Engine",
    ("cut:export", "late:set a secret", "full:resize", "a_point_beyond_keep_is_gone"),
)
"""Not a fault; a check of each kind, all of which the other tests of this folder make for all cases."""


def hunted(mutation: Mutation) -> Finished:
    """Run the mutation's checks on the house with it."""
    file = HOUSE / mutation.file
    assert file.read_text().count(mutation.old) == 1, f"{mutation.file} does not say this once: mend the mutation"
    mutant = ("-m", "tests.law.mutant", str(file), mutation.old, mutation.new, *mutation.checks)
    within = ("env", "-C", str(HOUSE))
    return asyncio.run(finish(*within, sys.executable, *mutant, within=WITHIN, may_exit=(0, 1)))


def test_without_a_fault_the_hunt_finds_nothing() -> None:
    ended = hunted(SOUND)
    assert (ended.code, ended.out.strip()) == (0, BEGUN), ended.error


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.fault)
def test_the_law_catches(mutation: Mutation) -> None:
    ended = hunted(mutation)
    assert ended.out.startswith(BEGUN), f"the mutant does not even begin: {ended.error}"
    assert ended.code != 0, f"the law does not notice: {ended}"
