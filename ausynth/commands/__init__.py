"""The commands of `ausynth`: each file one command. What costs time is imported when a command runs, not before."""
