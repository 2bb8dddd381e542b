"""The parts that every application shares."""
