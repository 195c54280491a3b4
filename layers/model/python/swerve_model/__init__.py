"""The shipped recurrent network, `model.onnx`, and its `manifest.json`: a layer of its own."""
