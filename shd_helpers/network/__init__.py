"""The spiking network, its surrogates and costs, and the convolutional network it is compared with."""
