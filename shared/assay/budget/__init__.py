"""What a run may cost, held across its workers."""
