"""One file for each family of workloads; what its ``WORKLOADS`` lists is measured."""
