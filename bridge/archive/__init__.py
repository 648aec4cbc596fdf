"""The archive: files that keep what is taken out of the log and the journal, compressed, and checked when written.

A file of events holds some of those between its first and last offset, as lines of JSON. Files may overlap: events that
were needed longer are pruned later. A file counts once its manifest is there, which is written after it.
"""
