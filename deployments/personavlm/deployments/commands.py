"""The commands of serving. Heavy imports happen after the arguments are parsed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from personavlm.platform.cli import Commands

if TYPE_CHECKING:
    from personavlm.platform.config import Config


def add_commands(commands: Commands) -> None:
    """The commands of serving and their options."""
    serve = commands.add_parser("serve", help="start the service on this machine or on a Ray cluster")
    serve.add_argument("--config", type=Path, help="YAML file; without it, defaults and the rules engine")
    serve.set_defaults(run=_serve)

    rollout = commands.add_parser("rollout", help="bring a new engine or policy into the running service")
    rollout.add_argument("--config", type=Path, required=True, help="the service's new configuration")
    rollout.set_defaults(run=_rollout)

    doctor = commands.add_parser("doctor", help="examine machine, store and cluster, and say what helps")
    doctor.add_argument("--config", type=Path, help="the service's configuration")
    doctor.add_argument("--json", action="store_true", help="for programs instead of people")
    doctor.set_defaults(run=_doctor)

    demo = commands.add_parser("demo", help="watch an assistant live through two months of one user")
    demo.add_argument("--once", action="store_true", help="write the report and exit instead of staying up")
    demo.add_argument("--report", type=Path, default=Path("demo-report.json"))
    demo.add_argument("--port", type=int, default=8000)
    demo.set_defaults(run=_demo)

    replay = commands.add_parser("replay", help="drive a running service with a recorded history")
    replay.add_argument("file", type=Path)
    replay.add_argument("--format", choices=("personavlm", "persona-mme", "locomo"), default="personavlm")
    replay.add_argument("--questions", action="store_true", help="ask the file's questions afterwards")
    replay.add_argument("--question-file", type=Path, help="questions kept apart (Persona-MME)")
    replay.add_argument("--url", default="http://127.0.0.1:8000")
    replay.add_argument("--key", help="API key; default: the environment variable PERSONAVLM_KEY")
    replay.add_argument("--user", default="", help="prefix of the user ids")
    replay.add_argument("--json", type=Path, help="write the results to this file")
    replay.set_defaults(run=_replay)

    keys = commands.add_parser("keys", help="API keys").add_subparsers(required=True, metavar="ACTION")
    create = keys.add_parser("create", help="make a key and print it, once")
    create.add_argument("--tenant", required=True)
    create.add_argument("--name", default="", help="a note on whose it is")
    create.add_argument("--replay", action="store_true", help="allow recorded times and imported turns")
    create.add_argument("--config", type=Path, help="the service's configuration, for its keys_file")
    create.set_defaults(run=_create_key)

    prompts = commands.add_parser("prompts", help="the wording of the prompts")
    actions = prompts.add_subparsers(required=True, metavar="ACTION", dest="action")
    look = actions.add_parser("check", help="look for problems in a folder of templates")
    write = actions.add_parser("export", help="write our templates, to start from")
    for action in (look, write):
        action.add_argument("folder", type=Path, metavar="DIR")
        action.set_defaults(run=_prompts)

    models = commands.add_parser("models", help="checkpoints of language models")
    actions = models.add_subparsers(required=True, metavar="ACTION", dest="action")
    look = actions.add_parser("check", help="what one needs, what it lacks, and how it would be served")
    look.add_argument("model", metavar="NAME_OR_PATH", help="a folder, or a name of the hub to download")
    look.set_defaults(run=_models)

    _add_store(commands)
    _add_k8s(commands)


def _add_k8s(commands: Commands) -> None:
    k8s = commands.add_parser("k8s", help="for clusters of KubeRay")
    actions = k8s.add_subparsers(required=True, metavar="ACTION", dest="action")
    render = actions.add_parser("render", help="write what a configuration means for a RayService")
    render.add_argument("config", type=Path, metavar="CONFIG", help="the service's configuration")
    render.add_argument("--to", dest="target", type=Path, help="the file to write; default: print it")
    render.add_argument("--check", action="store_true", help="only fail unless it says this already")
    render.set_defaults(run=_render)


def _render(args: argparse.Namespace) -> int:
    from personavlm.deployments.manifests import render

    render(args.config, args.target, only_check=args.check)
    return 0


def _add_store(commands: Commands) -> None:
    store = commands.add_parser("store", help="look after the memory store")
    actions = store.add_subparsers(required=True, metavar="ACTION", dest="action")
    grow = actions.add_parser("grow", help="divide the store into more shards, while it serves or not")
    grow.add_argument("--shards", type=int, required=True, help="how many there are to be")
    status = actions.add_parser("status", help="sizes and counts of the shards")
    backup = actions.add_parser("backup", help="copy the store as it is now, while it serves or not")
    backup.add_argument("--to", dest="target", required=True, help="an empty folder or s3://bucket/prefix")
    restore = actions.add_parser("restore", help="copy a backup to the configured place, which must be empty")
    restore.add_argument("--from", dest="source", required=True, help="where the backup stands")
    restore.add_argument("--erasures", help="a store, or a copy of its folders erased/: erase that again")
    erase = actions.add_parser("erase-tenant", help="erase everything of one tenant for good")
    erase.add_argument("tenant")
    give = actions.add_parser("export-tenant", help="write one tenant's archive, while it serves or not")
    give.add_argument("tenant")
    give.add_argument("--to", dest="target", type=Path, required=True, help="a new ZIP file")
    give.add_argument("--vectors", action="store_true", help="with what searches derive from the texts")
    take = actions.add_parser("import-tenant", help="take in an archive, of whatever tenant, as this one's")
    take.add_argument("tenant")
    take.add_argument("--from", dest="source", type=Path, required=True, help="the archive")
    take.add_argument("--replace", action="store_true", help="in place of what its users have")
    usage = actions.add_parser("usage", help="what each tenant takes; reads every row")
    for action in (grow, status, backup, restore, erase, give, take, usage):
        action.add_argument("--config", type=Path, help="the service's configuration")
        action.set_defaults(run=_store)


def _serve(args: argparse.Namespace) -> int:
    import threading

    config = _prepared(args.config)
    from personavlm.deployments.app import running
    from personavlm.deployments.signals import when_asked_to_stop

    stop = threading.Event()
    with running(config) as url:
        when_asked_to_stop(stop.set)
        print(f"PersonaVLM is ready: {url}  (Ctrl-C ends it)", flush=True)
        stop.wait()
    return 0


def _rollout(args: argparse.Namespace) -> int:
    config = _prepared(args.config)
    from personavlm.deployments.rollout import roll_out

    roll_out(config)
    print("All policy replicas run with the new configuration.")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    config = _prepared(args.config)
    from personavlm.deployments.doctor_commands import run

    return run(config, as_json=args.json)


def _demo(args: argparse.Namespace) -> int:
    from personavlm.deployments.local_ray import prepare_environment

    prepare_environment()
    from personavlm.deployments.demo.command import run_command

    return run_command(args)


def _replay(args: argparse.Namespace) -> int:
    from personavlm.deployments import replay

    return replay.run(args)


def _prompts(args: argparse.Namespace) -> int:
    from personavlm.deployments import prompt_commands

    prompt_commands.run(args)
    return 0


def _models(args: argparse.Namespace) -> int:
    from personavlm.deployments import model_commands

    model_commands.run(args)
    return 0


def _store(args: argparse.Namespace) -> int:
    config = _prepared(args.config)
    from personavlm.deployments.store_commands import run

    run(args, config)
    return 0


def _create_key(args: argparse.Namespace) -> int:
    from personavlm.deployments.keys import create_key

    config = _config(args.config)
    key = create_key(config.service.keys_file, args.tenant, replay=args.replay, name=args.name)
    print(key)
    print(f"Kept as a hash in {config.service.keys_file}; it cannot be shown again.", file=sys.stderr)
    return 0


def _prepared(file: Path | None) -> Config:
    """The configuration, and an environment for the cluster that is to be started, if one is. ConfigError."""
    from personavlm.deployments.local_ray import prepare_environment

    config = _config(file)
    if config.ray_address is None:
        prepare_environment()
    return config


def _config(file: Path | None) -> Config:
    from personavlm.platform.config import Config

    return Config.load(file) if file else Config()
