"""Volumes: what there is, and what is done with one of them."""

import os

import click

from ctl.ask import carried, look, mutate
from ctl.backup_files import Target, source, unwritten
from ctl.commands.names import volume_name
from ctl.flags import Flags, Rate
from ctl.grammar import Group, command, group
from ctl.quantities import count
from ctl.question import require_yes
from ctl.show import Answer, answer, tell
from ctl.style import Style
from daemon import wire

OVER = "this operation was over already, and its bytes went to whoever asked for it first"

volume = group(Group, "volume", "List, snapshot, resize, purge, export and import volumes.")


@command("ls", example="ployzctl volume ls shop")
@click.argument("namespace", metavar="[NS]", required=False)
@click.option("--kept", is_flag=True, help="the generations that no name points at any more")
@click.pass_obj
def ls(flags: Flags, namespace: str | None, *, kept: bool) -> Answer:
    """List the volumes of a namespace, or of all."""
    return answer(look(wire.VolumeLs(namespace, kept), flags))


@command("snapshots", example="ployzctl volume snapshots shop/data")
@click.argument("name", metavar="NS/VOL", callback=volume_name)
@click.pass_obj
def snapshots(flags: Flags, name: tuple[str, str, str | None]) -> Answer:
    """List a volume's snapshots, and who needs them."""
    return answer(look(wire.VolumeSnapshots(*_whole(name)), flags))


@command("snapshot", example="ployzctl volume snapshot shop/data before-cleanup", changes=True)
@click.argument("name", metavar="NS/VOL", callback=volume_name)
@click.argument("called", metavar="NAME")
@click.pass_obj
def snapshot(flags: Flags, name: tuple[str, str, str | None], called: str) -> Answer:
    """Keep a volume as it is now under a name, until that is purged."""
    return answer(mutate(wire.VolumeSnapshot(*_whole(name), called), flags))


@command("resize", example="ployzctl volume resize shop/data 20GiB", changes=True)
@click.argument("name", metavar="NS/VOL", callback=volume_name)
@click.argument("size", metavar="SIZE")
@click.pass_obj
def resize(flags: Flags, name: tuple[str, str, str | None], size: str) -> Answer:
    """Change how many bytes a volume may hold."""
    quota = count(size)
    if not quota:
        raise click.UsageError(f"{size} is no size, such as 20GiB", click.get_current_context())
    return answer(mutate(wire.VolumeResize(*_whole(name), quota), flags))


@command("purge", example="ployzctl volume purge shop/data@before-cleanup --yes", changes=True)
@click.argument("name", metavar="NS/VOL[@SNAPSHOT]", callback=volume_name)
@click.option("--kept", metavar="GENERATION", help="a generation that no name points at any more")
@click.option("--copy", metavar="MACHINE", help="the copy of the volume on that machine")
@click.pass_obj
def purge(flags: Flags, name: tuple[str, str, str | None], kept: str | None, copy: str | None) -> Answer:
    """Destroy a named snapshot, a generation that is kept, or a copy. Refused for what is needed."""
    namespace, of, called = name
    if [called, kept, copy].count(None) != 2:
        usage = "either NS/VOL@SNAPSHOT, or NS/VOL --kept GENERATION, or NS/VOL --copy MACHINE"
        raise click.UsageError(usage, click.get_current_context())
    what = f"the snapshot {called}" if called else f"the kept generation {kept}" if kept else f"the copy on {copy}"
    question = f"Destroy {what} of {namespace}/{of}? Nothing brings it back."
    require_yes(question, f"cannot purge {namespace}/{of}", flags)
    return answer(mutate(wire.VolumePurge(namespace, of, called, kept, copy), flags))


@command("send", example="ployzctl volume send shop/data --to m2", changes=True)
@click.argument("name", metavar="NS/VOL", callback=volume_name)
@click.option("--to", metavar="MACHINE", required=True, help="the machine that is to have a copy")
@click.option("--rate", metavar="SIZE/s", type=Rate(), help="the most that is sent, such as 20MiB/s")
@click.pass_obj
def send(flags: Flags, name: tuple[str, str, str | None], to: str, rate: int | None) -> Answer:
    """Have a copy of a volume on another machine, or refresh it: then only what changed is sent."""
    return answer(mutate(wire.VolumeSend(*_whole(name), to, rate), flags))


@command("export", example="ployzctl volume export shop/data -o data.zst", changes=True)
@click.argument("name", metavar="NS/VOL[@SNAPSHOT]", callback=volume_name)
@click.option("-o", "--output", metavar="FILE", required=True, help="where to; - is stdout")
@click.option("--tar", is_flag=True, help="a tar of its files instead of a ZFS stream")
@click.pass_obj
def export(flags: Flags, name: tuple[str, str, str | None], output: str, *, tar: bool) -> Answer:
    """Write a volume as it is at one instant into a file, packed by zstd."""
    if output == "-" and (flags.json or flags.events):
        raise click.UsageError("stdout cannot be both the data and a document", click.get_current_context())
    request = wire.VolumeExport(*name, "tar" if tar else "zfs")
    if flags.preview:
        return answer(mutate(request, flags))
    target = Target(output)
    try:
        success, carrier = carried(request, flags, target.carry, None)
        carrier.join()
        if carrier.failure or carrier.gone or not carrier.moved:
            why = carrier.failure or carrier.gone or OVER
            raise unwritten(output, why, success.operation)
        target.keep()
    except OSError as error:
        raise unwritten(output, str(error), None) from None
    finally:
        target.drop()
    done = answer(success)
    if target.stdout:
        tell(done.text(Style()))
        return Answer(success, lambda _: "")
    success.result["file"] = os.path.abspath(output)
    return done


@command("import", example="ployzctl volume import data.zst shop/data2", changes=True)
@click.argument("file", metavar="FILE")
@click.argument("name", metavar="NS/VOL", callback=volume_name)
@click.pass_obj
def import_(flags: Flags, file: str, name: tuple[str, str, str | None]) -> Answer:
    """Make a new volume of an exported file, of a tar (plain, gzip or zstd), or of a folder; - is stdin."""
    carry, size = source(file)
    request = wire.VolumeImport(*_whole(name), size)
    if flags.preview:
        return answer(mutate(request, flags))
    return answer(carried(request, flags, carry, size)[0])


@command("restore", example="ployzctl volume restore shop/data@before-cleanup shop/data2", changes=True)
@click.argument("name", metavar="NS/VOL@SNAPSHOT", callback=volume_name)
@click.argument("target", metavar="NS2/VOL2", callback=volume_name)
@click.pass_obj
def restore(flags: Flags, name: tuple[str, str, str | None], target: tuple[str, str, str | None]) -> Answer:
    """Make a new volume of a snapshot of another one, which stays as it is."""
    namespace, of, called = name
    if called is None:
        raise click.UsageError(f"{namespace}/{of} names no snapshot: NS/VOL@SNAPSHOT", click.get_current_context())
    return answer(mutate(wire.VolumeRestore(namespace, of, called, *_whole(target)), flags))


@command("fork-volume", example="ployzctl fork-volume shop/data scratch/data", changes=True)
@click.argument("name", metavar="NS/VOL", callback=volume_name)
@click.argument("target", metavar="NS/VOL2", callback=volume_name)
@click.pass_obj
def fork(flags: Flags, name: tuple[str, str, str | None], target: tuple[str, str, str | None]) -> Answer:
    """Make a new volume that begins as another one is now, in no time; nothing that can be written is shared."""
    return answer(mutate(wire.VolumeFork(*_whole(name), *_whole(target)), flags))


def _whole(name: tuple[str, str, str | None]) -> tuple[str, str]:
    namespace, of, called = name
    if called is not None:
        raise click.UsageError(f"{namespace}/{of} is a volume, and @{called} a snapshot", click.get_current_context())
    return namespace, of


for one in (ls, snapshots, snapshot, restore, resize, send, purge, export, import_):
    volume.add_command(one)
