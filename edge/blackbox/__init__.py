"""The black box: what every scan was given and gave, kept around a trip, and scanned again to see the same come out."""
