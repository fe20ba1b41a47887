"""What tests share: runs of the program, small sets and networks, programs that kill or feed others."""
