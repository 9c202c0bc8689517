"""Simulator, steered policy and recorder; the nodes and arguments stand in config/sim.yaml."""

from launch import LaunchDescription

from psr_cli.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("sim")
