"""All commands by name, in the order in which a newcomer needs them."""

import click

from ctl.grammar import Group, UnknownCommand, command, group, help_answer
from ctl.show import Answer

program = group(Group, None, "Run a small fleet by primitives: each command does one thing, and says how it ended.")
program.sections = (
    ("Change", ("deploy", "rollback", "branch", "promote", "migrate", "namespace")),
    ("Services", ("restart", "stop", "start", "scale", "run", "secret", "registry", "image")),
    ("Data", ("volume", "fork-volume")),
    ("Machines", ("mesh", "machine", "join")),
    ("Look", ("status", "ps", "logs", "exec", "history", "export", "doctor")),
    ("Operations", ("op",)),
    ("This machine", ("dev", "context", "version", "help")),
)
program.lazy = {
    "deploy": ("deploying:deploy", "Make a namespace what a manifest says."),
    "rollback": ("deploying:rollback", "Make a namespace what it was, code and data."),
    "branch": ("branching:branch", "Copy a namespace with its data."),
    "promote": ("branching:promote", "Deploy what a branch runs into its source."),
    "migrate": ("migrating:migrate", "Move a service to another machine, with its data."),
    "restart": ("running:restart", "Replace a service's instances by new ones."),
    "stop": ("running:stop", "Have no instances of a service until it is started."),
    "start": ("running:start", "Have a stopped service's instances again."),
    "scale": ("running:scale", "Give a service another number of instances."),
    "run": ("executing:run", "Run a command in an instance of its own."),
    "namespace": ("namespaces:namespace", "List namespaces, look into one, or remove it."),
    "fork-volume": ("volumes:fork", "Make a volume that begins as another one is now."),
    "volume": ("volumes:volume", "List, snapshot, resize, purge, export and import volumes."),
    "secret": ("secrets:secret", "Set, list and remove the secrets of a namespace."),
    "registry": ("registries:registry", "Log in to registries of images, and out."),
    "mesh": ("machines:mesh", "Found a mesh, look at it, or leave it."),
    "machine": ("machines:machine", "Add machines, invite them, list them, drain one, or remove it."),
    "join": ("machines:join", "Make this machine one of a mesh."),
    "image": ("images:image", "List the machines' images, and bring them to other machines."),
    "status": ("looking:status", "Show the cluster in one screen."),
    "ps": ("looking:ps", "List the instances."),
    "logs": ("logs:logs", "Show what a service wrote."),
    "exec": ("executing:exec_", "Run a command in an instance."),
    "history": ("history:history", "List a namespace's deploy points, or show one."),
    "export": ("history:export", "Print the manifest of what runs now."),
    "doctor": ("doctor:doctor", "Check every assumption of the machine."),
    "op": ("operations:op", "List, show, resume and abort operations."),
    "dev": ("clusters:dev", "Make and remove clusters on this machine."),
    "context": ("choosing:context", "Choose which daemon is asked."),
    "version": ("release:version", "Show the releases of ployzctl and of the daemon."),
}


@command("help", example="ployzctl help deploy")
@click.argument("words", metavar="[COMMAND]", nargs=-1)
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> Answer:
    """Show how a command is used."""
    shown: click.Command = program
    within = click.Context(program, info_name="ployzctl")
    for word in words:
        if not isinstance(shown, Group):
            break
        found = shown.get_command(within, word)
        if found is None:
            raise UnknownCommand(ctx, word, shown.list_commands(within))
        shown, within = found, click.Context(found, parent=within, info_name=word)
    return help_answer(shown.get_help(within))


program.add_command(help_)
