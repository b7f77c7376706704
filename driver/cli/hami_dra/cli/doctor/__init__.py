"""``hami-dra doctor``: is everything on the cluster as it should be?"""
