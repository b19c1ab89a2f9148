"""The settings of each stage and the sizes of the networks: types, defaults, meanings and units. Importing them is cheap."""
