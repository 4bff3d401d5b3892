"""Messages of the tests.

``*_pb2.py`` are made by grpcio-tools 1.76, whose gencode every supported protobuf runs, and
``*_pb.py`` by protoc-gen-py, both from the repository's root::

    python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. tests/protos/every.proto
    python -m grpc_tools.protoc -I. --py_out=. tests/protos/every.proto

``ruled.proto`` imports ``buf/validate/validate.proto``: put its folder behind another ``-I``.
"""
