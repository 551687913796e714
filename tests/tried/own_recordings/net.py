from shd_helpers import SpikingNetwork


def spiking(n_units, n_classes):
    return SpikingNetwork((n_units, 32, n_classes))
