"""The parts of `ausynth.simulate`: rendered frames, files in a real set's layout, and the record of what was made."""
