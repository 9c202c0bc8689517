"""Steering, samplers and metrics: the mathematics, free of robots, simulators and ROS."""
