"""The mesh builder; the nodes and arguments stand in config/mesh.yaml."""

from launch import LaunchDescription

from psr_cli.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("mesh")
