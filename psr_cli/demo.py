"""`psr demo`: the dial at work. The same seeds twice, k turned in between on a running graph, and a report."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path

from psr_cli.bag import tell
from psr_cli.graph import Plan, load_graph
from psr_cli.supervisor import StopSignals
from psr_cli.up import episode_progress, summary
from psr_cli.watch import NodeDied, Watch, supervise, wait_until_ready, watched_session
from psr_core.steering import Steering
from psr_core.suite_folder import suite_root
from psr_eval.html import section
from sim.assets import MJCF, asset_file

LIFTS = 3  # attempts at the object from a file

# What a node's checkpoint must hold, and what to do where it does not.
MODELS = {
    "policy": ("policy.safetensors", "name the folder of a policy with --checkpoint, or make one: psr train policy"),
    "depth": (
        "model_index.json",
        "name the folder of a pipeline with --depth-checkpoint, or make one: psr train depth",
    ),
    "pose": (
        "pose.safetensors",
        "name the folder of a rotation network with --pose-checkpoint, or make one: psr train pose",
    ),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "demo", help="simulator, policy and recorder on the same seeds at k = 1 and another k"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the run (default: %(default)s)")
    parser.add_argument("--episodes", type=int, default=24, help="half of them at each k (default: %(default)s)")
    parser.add_argument("--k", type=float, default=2.0, help="the k to compare with 1 (default: %(default)s)")
    parser.add_argument("--sigma", type=float, default=0.1, help="assumed spread of a mode (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=100_000, help="first initial state (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, help="policy to run (default: models/lift_unet)")
    parser.add_argument("--depth-checkpoint", type=Path, help="depth pipeline to run (default: models/depth)")
    parser.add_argument("--pose-checkpoint", type=Path, help="rotation network to run (default: models/pose)")
    parser.add_argument("--asset", type=Path, help="object to lift (default: the one in models/assets, if any)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.episodes < 2 or args.episodes % 2:
        raise ValueError(f"--episodes is {args.episodes}, expected an even number, half for each k")
    out = args.out.absolute()
    values = {
        "record": "true",
        "bag": str(out / "bag"),
        "camera_episodes": "1",
        "k": "1.0",
        "sigma": str(args.sigma),
        "depth": "true",
        "pose": "true",
    }
    given = {name: getattr(args, name) for name in ("checkpoint", "depth_checkpoint", "pose_checkpoint")}
    values |= {name: str(folder) for name, folder in given.items() if folder}
    plan = load_graph("sim").resolve(values)
    check_checkpoint(plan)
    asset = args.asset or shipped_asset()
    if asset:
        asset_file(asset)
    Steering(k=args.k, sigma=args.sigma)  # raises now, not when it is k's turn
    if older := keep_older(out):
        print(f"the earlier {args.out} is now {older}")
    nodes = out / "nodes"
    nodes.mkdir(parents=True)
    isolate(out)
    if code := _record(plan, nodes, [1.0, args.k], args.first_seed, args.episodes // 2):
        print(f"stopped early; `psr bag {args.out}/bag --out {args.out}` says what was recorded")
        return code
    return tell([args.out / "bag"], args.out, further=_asset_section(asset, args.out / "asset") if asset else ())


def _record(plan: Plan, folder: Path, ks: list[float], first_seed: int, episodes: int) -> int:
    """Run the seeds once for each k; 0 if every run ended by itself, else an exit code."""
    from psr_ros.clients import ParameterClient, RunEpisodesClient

    with StopSignals() as stop, supervise(plan, folder) as supervisor:
        watch = Watch(supervisor, stop)
        watch.say("psr", f"started {', '.join(supervisor.running)} on ROS domain {os.environ['ROS_DOMAIN_ID']}")
        try:
            with watched_session(watch) as session, RunEpisodesClient(session) as client:
                wait_until_ready(session, plan)
                policy = ParameterClient(session, "policy")
                for k in ks:
                    if policy.get("steering.k")["steering.k"] != k:
                        outcome = policy.set("steering.k", k)
                        if not outcome.successful:
                            raise ValueError(f"the policy refused steering.k = {k}: {outcome.reason}")
                    watch.say("psr", f"steering.k = {k:g}, seeds {first_seed} to {first_seed + episodes - 1}")
                    result = client.run(first_seed, episodes, on_feedback=episode_progress(watch.say, episodes)).result
                    watch.say("psr", summary(result, episodes))
                    if stop.requested:
                        break
        except NodeDied as death:
            watch.say("psr", f"{death}; stopping")
            return 1
        except KeyboardInterrupt:
            watch.say("psr", "stopping")
        return stop.exit_code if stop.requested else 0


def shipped_asset() -> Path | None:
    """The folder of the object that comes with the suite, the first by name; None where there is none."""
    return next(iter(sorted(path.parent for path in (suite_root() / "models" / "assets").glob(f"*/{MJCF}"))), None)


def _asset_section(asset: Path, out: Path) -> list[str]:
    """The report's section about an object from a file: dropped, and lifted by the scripted expert."""
    from psr_eval.asset_lifts import lift_asset
    from psr_eval.asset_views import as_html

    print(f"an object from a file, {asset.name}: dropped, and lifted on {LIFTS} seeds ...", flush=True)
    lifts = lift_asset(asset, range(LIFTS), out)
    print(lifts.as_text())
    return [section("An object from a prompt", as_html(asset, lifts, out))]


def check_checkpoint(plan: Plan) -> None:
    """Raises FileNotFoundError when there is no model where a node will look for it."""
    for node in plan.nodes:
        if node.name in MODELS:
            file, cure = MODELS[node.name]
            model = Path(str(node.parameters["checkpoint"])) / file
            if not model.is_file():
                raise FileNotFoundError(f"no {model}; {cure}")


def keep_older(folder: Path) -> Path | None:
    """Move an existing folder aside, to the first free of folder.1, folder.2, ...; returns its new name."""
    if not folder.exists():
        return None
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    return folder.rename(aside)


def isolate(out: Path) -> None:
    """Keep the run to itself: logs in its folder, this machine only, a ROS domain that nobody uses.

    Variables that are set already stay, but for the folder of the logs.
    """
    os.environ["ROS_LOG_DIR"] = str(out / "log")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if "ROS_DOMAIN_ID" not in os.environ:
        os.environ["ROS_DOMAIN_ID"] = str(free_domain(os.getpid()))


def free_domain(start: int) -> int:
    """A ROS domain on which no process of this machine listens, looked for from `start` on.

    From 1 to 100: above, the ports of a domain reach into the range that Linux hands out to anybody.
    """
    candidates = [1 + (start + step) % 100 for step in range(100)]
    return next(filter(_unused, candidates), candidates[0])


def _unused(domain: int) -> bool:
    """Whether the first participants' UDP ports, as the RTPS standard lays them out, are free."""
    for participant in range(4):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7400 + 250 * domain + 10 + 2 * participant))
            except OSError:
                return False
    return True
