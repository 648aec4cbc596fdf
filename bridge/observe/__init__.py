"""What people and programs see of the bridge at work: lines in the log, and signals; metrics hang on the same place."""
