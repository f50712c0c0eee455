"""What faults of several targets share: one file per means. Faults themselves are in the folders beside this one."""
