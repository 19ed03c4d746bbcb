"""What writes the shards of a plan: the threads of this machine, or Apache Beam."""
