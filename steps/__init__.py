"""The steps: one file each, one entry point each in MLproject."""
