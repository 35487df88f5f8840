"""Workers on other cards and hosts: what each of them does, and who is given what. Knows no experiment and no page.

`member` is what runs in a worker; Ray, which carries the tasks, is imported only where it is asked for.

Face: values, hands, foreman, passes, on_ray
"""
