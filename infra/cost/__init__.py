"""What a month of the platform costs at a given load: arithmetic over `mlops.prices`."""
