"""The AWS on this machine: one process, one port, everything in one state directory.

    server             the process: MiniStack, moto and our own services behind one router
    router             who asks for what, and who answers it
      operations         a request's service and operation
      routes             the allow-list, one table
      protocol           answers and errors as each protocol writes them
    ministack_backend  MiniStack, and in *_patches and object_ranges where it differs from AWS
    moto_backend       moto's Step Functions, likewise
    athena, sagemaker  ours
    snapshots, moto_state   when and how what is in memory goes to disk
    calls              the record of who did what
    redis              the redis-server beside it
    lifecycle          starting, finding and stopping the process, for commands and tests
    serving            the proxy and the inference endpoint beside it
    cli                `mlops local`

MiniStack and moto read the environment when they are imported, so nothing imports them at the
top of a module.
"""
