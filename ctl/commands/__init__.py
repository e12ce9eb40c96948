"""The commands, a file for each subject; `ctl.program` imports one when it is wanted."""
