"""The node's side of the prediction worker: process, socket, predictor."""
