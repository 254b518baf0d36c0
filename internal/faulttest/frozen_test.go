package faulttest

func frozenMain() int { return 99 }
