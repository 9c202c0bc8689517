"""What every node of the suite shares: lifecycle, steering parameters, message conversions, clients. Needs ROS 2."""
