"""From annotated photographs to sharded training records: candidates, labels, crops, shards."""
