"""`psr bench policy|steering|depth|depth-node|pose|transport`: timings on this machine, settings side by side."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("bench", help="timings on this machine: chunks, steered steps, depth, poses, images")
    parser.set_defaults(run=lambda _: parser.print_help() or 2)
    kinds = parser.add_subparsers(metavar="WHAT")
    policy = kinds.add_parser("policy", help="time to sample a chunk, with and without steering")
    policy.add_argument("--checkpoint", type=Path, default=Path("models/lift_unet"), help="native checkpoint folder")
    policy.add_argument("--steps", type=int, default=16, help="network calls per chunk (default: 16)")
    policy.add_argument("--repeats", type=int, default=100, help="chunks per setting (default: 100)")
    policy.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    policy.set_defaults(run=run_policy)
    steering = kinds.add_parser("steering", help="what steering adds to one scheduler step")
    steering.add_argument("--repeats", type=int, default=100, help="runs of 16 steps per setting (default: 100)")
    steering.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    steering.set_defaults(run=run_steering)
    depth = kinds.add_parser("depth", help="time of a depth frame at several resolutions")
    depth.add_argument("--checkpoint", default="models/depth", help="folder or hub id (default: models/depth)")
    depth.add_argument("--resolutions", type=_integers, default=(128, 192, 256, 320), help="longer sides, pixels")
    depth.add_argument("--steps", type=int, default=0, help="network calls per frame (default: the checkpoint's)")
    depth.add_argument("--repeats", type=int, default=10, help="frames per setting (default: 10)")
    depth.add_argument("--device", default="cpu", help="torch device: cpu, cuda, cuda:1")
    depth.add_argument("--dtype", default="float32", help="float32, bfloat16 or, on a GPU, float16")
    depth.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    depth.set_defaults(run=run_depth)
    node = kinds.add_parser("depth-node", help="what the depth node adds to the bare pipeline")
    node.add_argument("--checkpoint", default="models/depth", help="folder or hub id (default: models/depth)")
    node.add_argument("--resolutions", type=_integers, default=(128, 320), help="longer sides, pixels")
    node.add_argument("--repeats", type=int, default=20, help="frames per resolution (default: 20)")
    node.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    node.set_defaults(run=run_depth_node)
    pose = kinds.add_parser("pose", help="rotations sampled a second, and the parts of a frame of the pose node")
    pose.add_argument("--checkpoint", type=Path, help="network of psr train pose (default: random weights)")
    pose.add_argument("--shape", default="cube", help="solid in the picture, whose symmetry counts (default: cube)")
    pose.add_argument(
        "--steps", type=_integers, default=(100, 50, 20, 10), help="network calls (default: 100,50,20,10)"
    )
    pose.add_argument("--samples", type=int, default=1000, help="rotations a frame (default: 1000)")
    pose.add_argument("--repeats", type=int, default=10, help="frames per number of steps (default: 10)")
    pose.add_argument("--device", default="cpu", help="torch device: cpu, cuda, cuda:1")
    pose.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    pose.set_defaults(run=run_pose)
    transport = kinds.add_parser(
        "transport", help="images between two processes, under the shipped and the default settings"
    )
    transport.add_argument("--images", type=int, default=150, help="images per setting (default: 150)")
    transport.set_defaults(run=run_transport)
    for kind in (policy, steering, depth, node, pose, transport):
        kind.add_argument("--out", type=Path, help="also write the figures to this JSON file")


def run_policy(args: argparse.Namespace) -> int:
    from psr_core.steering import Steering
    from psr_eval.bench import bench_policy, machine

    settings = [Steering(method="none"), Steering(k=1.5)]
    timings, duration = bench_policy(args.checkpoint, settings, args.steps, args.repeats, args.threads)
    print(f"{machine()}, {args.threads} torch thread(s)")
    print(f"one chunk at batch 1, {args.steps} DDIM steps; it lasts {duration:.0f} ms on the robot")
    for timing in timings:
        print(f"{timing.label:20} n={timing.n}  p50 {timing.p50:7.2f} ms  p95 {timing.p95:7.2f} ms")
    overhead = timings[1].p50 / timings[0].p50 - 1
    share = timings[1].p95 / duration
    print(f"steering changes the median by {overhead:+.1%}; sampling's p95 takes {share:.0%} of the chunk's duration")
    _write(args.out, {"machine": machine(), "chunk_ms": duration, "timings": [asdict(t) for t in timings]})
    return 0


def run_steering(args: argparse.Namespace) -> int:
    from psr_eval.bench import machine
    from psr_eval.bench_steering import NETWORK_CALL, StepCost, bench_steering

    def show(cost: StepCost) -> None:
        print(
            f"{cost.scheduler:28}{cost.prediction_type:14}{cost.sample:14}{cost.steering:26}{cost.stock_p50:6.0f} "
            f"{cost.added_p50:+7.1f} ({cost.added_p5:+.0f} to {cost.added_p95:+.0f}) {cost.share:8.2%}",
            flush=True,
        )

    print(f"{machine()}, {args.threads} torch thread(s); µs a step: the stock step's median, and what steering adds:")
    print(f"median (p5 to p95), and the median as a share of a network call of {NETWORK_CALL / 1000:g} ms")
    costs = bench_steering(args.repeats, args.threads, show)
    _write(args.out, {"machine": machine(), "threads": args.threads, "steps": [cost.to_dict() for cost in costs]})
    return 0


def run_depth(args: argparse.Namespace) -> int:
    from psr_eval.bench import machine
    from psr_eval.bench_depth import FrameTiming, bench_depth

    def show(timing: FrameTiming) -> None:
        size = f"{timing.resolution} px"
        print(f"{size:8}{timing.what:28} n={timing.n}  p50 {timing.p50:7.1f} ms  p95 {timing.p95:7.1f} ms", flush=True)

    print(f"{machine()}, {args.threads} torch thread(s); {args.checkpoint} on {args.device} in {args.dtype}")
    timings = bench_depth(
        args.checkpoint,
        args.resolutions,
        num_inference_steps=args.steps,
        repeats=args.repeats,
        device=args.device,
        dtype=args.dtype,
        threads=args.threads,
        report=show,
    )
    _write(args.out, {"machine": machine(), "timings": [asdict(timing) for timing in timings]})
    return 0


def run_depth_node(args: argparse.Namespace) -> int:
    import os

    import numpy as np

    from psr_cli.demo import free_domain
    from psr_cli.graph import load_graph

    if args.repeats < 1:
        raise ValueError(f"--repeats is {args.repeats}, expected 1 or more")
    own = {"ROS_DOMAIN_ID": str(free_domain(os.getpid())), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    for name, value in {**own, **load_graph("sim").resolve({}).environment}.items():
        os.environ.setdefault(name, str(value))

    from psr_eval.bench import machine
    from psr_eval.bench_depth_node import bench_depth_node

    print(f"{machine()}, {args.threads} torch thread(s) in each process; {args.checkpoint}; medians of {args.repeats}")
    timings = []
    for resolution in args.resolutions:
        timing = bench_depth_node(args.checkpoint, os.environ, resolution, args.repeats, args.threads)
        pipeline, node, round_trip = map(np.median, (timing.pipeline, timing.node, timing.round_trip))
        print(
            f"{resolution} px  pipeline {pipeline:7.1f} ms  node {node:7.1f} ms ({timing.overhead:+.1%})  from sending "
            f"the image to having the map {round_trip:7.1f} ms",
            flush=True,
        )
        timings.append(timing)
    _write(args.out, {"machine": machine(), "timings": [asdict(timing) for timing in timings]})
    return 0


def run_pose(args: argparse.Namespace) -> int:
    from psr_core.devices import torch_device
    from psr_eval.bench import machine
    from psr_eval.bench_pose import PoseTiming, bench_pose, random_network
    from psr_perception.pose.checkpoint import load_pose_network

    def show(timing: PoseTiming) -> None:
        rate = "" if timing.rate is None else f"  {timing.rate:9.0f} rotations/s"
        spread = f"p50 {timing.p50:8.2f} ms (p5 {timing.p5:.2f}, p95 {timing.p95:.2f})"
        print(f"{timing.steps:4} steps  {timing.what:12} n={timing.n}  {spread}{rate}", flush=True)

    device = torch_device(args.device)
    network = load_pose_network(args.checkpoint, device)[0] if args.checkpoint else random_network().to(device)
    weights = args.checkpoint or "random weights"
    print(f"{machine()}, {args.threads} torch thread(s); {weights} on {args.device}, {args.samples} samples of a frame")
    timings = bench_pose(
        network,
        args.steps,
        args.samples,
        shape=args.shape,
        repeats=args.repeats,
        threads=args.threads,
        report=show,
    )
    _write(args.out, {"machine": machine(), "samples": args.samples, "timings": [asdict(each) for each in timings]})
    return 0


def run_transport(args: argparse.Namespace) -> int:
    from psr_cli.graph import load_graph
    from psr_eval.bench import machine
    from psr_ros.transport_bench import bench_transport

    shipped = load_graph("sim").resolve({}).environment
    profile = {name: value for name, value in shipped.items() if name.startswith("FASTRTPS")}
    settings = {"shipped": shipped, "shipped, DDS profile only": profile, "defaults": {}}
    timings = [
        bench_transport(f"{name}, {reliability}", variables, args.images, reliability)
        for reliability in ("reliable", "best_effort")
        for name, variables in settings.items()
    ]
    print(f"{machine()}; 640x480 rgb8 at 30 Hz between two processes")
    for timing in timings:
        arrived = f"{timing.received}/{timing.sent}"
        print(f"{timing.label:38} arrived {arrived:>8}  p50 {timing.p50:6.2f} ms  p95 {timing.p95:6.2f} ms")
    _write(args.out, {"machine": machine(), "timings": [asdict(t) for t in timings]})
    return 0


def _write(path: Path | None, figures: dict[str, object]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n")


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))
